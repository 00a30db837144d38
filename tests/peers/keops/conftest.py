"""The two libraries that speak the language of LazyTensors."""

import contextlib
import importlib
import io
from types import SimpleNamespace

import pytest

MODULES = {
    "sparseot": {"torch": "sparseot", "numpy": "sparseot", "cluster": "sparseot.cluster"},
    "keops": {
        "torch": "pykeops.torch",
        "numpy": "pykeops.numpy",
        "cluster": "pykeops.numpy.cluster",
    },
}


@pytest.fixture(params=["sparseot", pytest.param("keops", marks=pytest.mark.slow)])
def lazy(request, monkeypatch):
    """``lazy.torch.LazyTensor``, ``lazy.numpy.LazyTensor``, ``lazy.cluster``: ours, compiled, and KeOps's."""
    monkeypatch.setattr("sparseot.engines.choose.WORTH_A_PROGRAM", 0)
    if request.param == "keops":
        request.getfixturevalue("needs_compiler")
        pytest.importorskip("pykeops")
    with contextlib.redirect_stdout(io.StringIO()):
        found = {key: importlib.import_module(name) for key, name in MODULES[request.param].items()}
    return SimpleNamespace(**found, name=request.param)
