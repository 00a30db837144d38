"""Messages survive the way to JavaScript: what is written here is read there by js/codec.mjs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseot_widgets.codec import blocked, quantised, to_text, to_wire

JS = Path(__file__).parents[2] / "widgets" / "sparseot_widgets" / "js"


def test_types_that_javascript_has():
    message = {"x": torch.ones(2, 3, dtype=torch.float64, requires_grad=True), "i": np.arange(3)}
    wire = to_wire(message)
    assert wire["x"]["dtype"] == "float32" and wire["x"]["shape"] == [2, 3]
    assert wire["i"]["dtype"] == "int32" and len(wire["i"]["buffer"]) == 12


def test_numbers_are_json():
    wire = to_wire({"a": np.float32(1.5), "b": math.inf, "c": math.nan, "d": torch.tensor(3)})
    assert json.loads(json.dumps(wire, allow_nan=False)) == {"a": 1.5, "b": None, "c": None, "d": 3}


@pytest.mark.parametrize("bits", [8, 16])
def test_quantised_is_right_to_half_a_step(bits):
    values = np.random.default_rng(0).normal(size=1000)
    kept = quantised({"v": values}, bits)["v"]
    step = (kept["hi"] - kept["lo"]) / (2**bits - 1)
    assert abs(kept["lo"] + kept["levels"] * step - values).max() <= step * 0.5001


def test_constant_and_empty_arrays_are_kept():
    kept = quantised({"c": np.full(3, 7.0), "e": np.zeros((0, 2)), "i": np.arange(4)})
    assert kept["c"]["lo"] == 7.0 and not kept["c"]["levels"].any()
    assert kept["e"].shape == (0, 2) and kept["i"].tolist() == [0, 1, 2, 3]


def test_refuses_what_has_no_typed_array():
    with pytest.raises(TypeError, match="complex128 has no typed array"):
        to_wire({"z": np.zeros(2, dtype=complex)})


def test_javascript_reads_what_python_wrote(node):
    values = np.linspace(-1.0, 2.0, 5)
    cloud = np.random.default_rng(0).random((700, 2)) + [0.0, 5.0]
    blocks, order = blocked(cloud, each=256)
    message = {"plain": values.reshape(5, 1), "short": quantised(values), "words": ["a", 1, None]}
    message["cloud"] = quantised(blocks)  # as in a page: the bounds are levels themselves
    script = f"""
      import {{ decode }} from "{JS.as_uri()}/codec.mjs";
      const m = decode({json.dumps(to_text(to_wire(message)))});
      const out = {{ plain: [...m.plain], shape: m.plain.shape, short: [...m.short], words: m.words }};
      Object.assign(out, {{ cloud: [...m.cloud], wide: m.cloud.shape }});
      console.log(JSON.stringify(out));
    """
    seen = json.loads(node("--input-type=module", "--eval", script))
    assert seen["shape"] == [5, 1] and seen["words"] == ["a", 1, None]
    np.testing.assert_allclose(seen["plain"], values, rtol=1e-6)
    np.testing.assert_allclose(seen["short"], values, atol=3e-5)
    assert seen["wide"] == [700, 2] and sorted(order) == list(range(700))
    sides = (blocks["hi"] - blocks["lo"]).max(0)
    error = abs(np.reshape(seen["cloud"], (700, 2)) - cloud[order]).max(0)
    assert (error <= sides / 510 + 1e-4).all() and sides.max() < 1.0


def test_what_is_not_finite_has_no_step():
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="answer: got an array with NaN or infinity"):
            quantised({"v": np.array([0.0, bad, 1.0])})
