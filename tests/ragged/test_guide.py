"""The chapter on sets of different sizes: its code runs, and what it says is so."""

import re
from pathlib import Path

import pytest
import torch

import sparseot as so
from sparseot.ragged.batches import as_batches

PAGE = (Path(__file__).parents[2] / "docs/guide/ragged-batches.md").read_text()


@pytest.fixture(scope="module")
def seen():
    """What the code blocks of the page leave behind, run one after the other."""
    torch.manual_seed(0)
    names = {"so": so, "torch": torch}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, names)
    return names


def test_values_are_those_of_the_loop(seen):
    loop = torch.stack([seen["loss"](x, y) for x, y in zip(seen["xs"], seen["ys"], strict=True)])
    torch.testing.assert_close(seen["values"], loop)
    assert all(x.grad.shape == x.shape for x in seen["xs"])


def test_a_result_is_a_sequence(seen):
    result = seen["result"]
    assert isinstance(result, so.Transports) and isinstance(result[1], so.Transport)
    assert result.value.shape == result.lower.shape == (3,) and result.converged is True
    assert type(result.potential_a) is type(result.map()) is list


def test_graphs_are_those_of_all_points(seen):
    xs = seen["xs"]
    labels = torch.arange(3).repeat_interleave(torch.tensor([len(x) for x in xs]))
    assert torch.equal(seen["edges"], so.knn_graph(torch.cat(xs), 8, labels))
    assert [f.shape for f in seen["features"]] == [(len(x), 16) for x in xs]


def test_padding_by_hand_is_nothing(seen):
    y = torch.rand(3, 100, 3)
    b = torch.full((3, 100), 0.01)
    found = seen["loss"](seen["a"], seen["x"], b, y)
    exact = [seen["loss"](*pair) for pair in zip(seen["xs"], y, strict=True)]
    torch.testing.assert_close(found, torch.stack(exact))


def test_batches_are_what_the_page_says():
    """No set twice as large as another, and large ones alone."""
    assert "more than 900 points" in PAGE and "twice as large" in PAGE
    x = [torch.zeros(n, 1) for n in (900, 901, 1, 2, 3, 450, 449, 100)]
    groups = as_batches(x, x).groups
    sizes = sorted(sorted(len(x[k]) for k in group.items) for group in groups)
    assert sizes == [[1, 2], [3], [100], [449, 450], [900], [901]]
    assert [len(x[group.items[0]]) for group in groups if group.size == 0] == [901]
