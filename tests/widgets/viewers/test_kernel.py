"""``KernelViewer``: what it shows is what the library computes."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import kernels
from sparseot_widgets import KernelViewer, pages
from sparseot_widgets.viewers.kernel import _extended


@pytest.fixture(scope="module")
def arc():
    """300 points along half a circle: its eigenvectors are cosines of the angle."""
    t = torch.linspace(0, np.pi, 300, dtype=torch.float64)
    return torch.stack((t.cos(), t.sin()), 1)


def dense_pairs(x, sigma):
    """Eigenvalues and D^-1/2 u of the dense normed Laplacian, in double precision."""
    K = torch.exp(-(torch.cdist(x, x) ** 2) / (2 * sigma**2))
    D = K.sum(1)
    values, u = torch.linalg.eigh(torch.eye(len(x)) - K / (D[:, None] * D).sqrt())
    return values, u / D.sqrt()[:, None]


def test_eigenpairs_are_those_of_the_dense_laplacian(arc):
    viewer = KernelViewer(arc, sigma=0.1, k=4)
    values, f = dense_pairs(arc, 0.1)
    np.testing.assert_allclose(viewer.shown["values"], values[:5].clamp_min(0), atol=1e-8)
    shown = torch.as_tensor(viewer.shown["vectors"])
    assert shown.abs().amax(0).tolist() == [1.0] * 4
    for j in range(4):
        cosine = torch.cosine_similarity(shown[:, j], f[:, j + 1], dim=0).abs()
        assert cosine > 1 - 1e-6
    assert (viewer.shown["residuals"] < 1e-4).all()


def test_a_kernel_matrix_brings_its_points_and_its_width(arc):
    for kernel, name in (
        (kernels.Gaussian(0.1), "gaussian"),
        (kernels.Laplacian(0.1), "laplacian"),
    ):
        viewer = KernelViewer(so.KernelMatrix(kernel, arc))
        same = KernelViewer(arc, kernel=name, sigma=0.1)
        assert viewer.sigma == pytest.approx(0.1)
        np.testing.assert_allclose(viewer.shown["values"], same.shown["values"], atol=1e-6)


def test_signs_do_not_flip_while_the_slider_moves(arc):
    viewer = KernelViewer(arc, sigma=0.1, k=4)
    seen = viewer.shown["vectors"]
    for sigma in (0.11, 0.12, 0.13):
        for coarse in (True, False):
            new = viewer.answer({"sigma": sigma}, coarse, lambda: None)["vectors"]
            assert ((new * seen).sum(0) > 0).all()
            seen = new


def test_the_sketch_resembles_the_answer():
    x = so.datasets.swiss_roll(2_000)
    viewer = KernelViewer(x, sigma=0.2, k=3)
    sketch = viewer.answer({"sigma": 0.2}, True, lambda: None)["vectors"]
    assert sketch.shape == viewer.shown["vectors"].shape == (2_000, 3)
    cosine = np.abs((sketch * viewer.shown["vectors"]).sum(0))
    cosine /= np.linalg.norm(sketch, axis=0) * np.linalg.norm(viewer.shown["vectors"], axis=0)
    assert cosine[0] > 0.99


def test_extension_is_an_average_and_ends_at_the_nearest_point():
    values = torch.tensor([[0.0], [1.0]])
    apart = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.9, 0.1]])
    wide = _extended(values, kernels.Gaussian(1e3), apart)[:, 0]
    narrow = _extended(values, kernels.Gaussian(1e-3), apart)[:, 0]
    np.testing.assert_allclose(wide, [0.5] * 3, atol=1e-5)
    np.testing.assert_allclose(narrow, [0.0, 0.5, 1.0])


def test_many_points_hang_on_those_that_are_solved_for():
    x = so.datasets.swiss_roll(12_000)
    viewer = KernelViewer(x, sigma=0.1, k=2)
    scene = viewer._scene
    assert viewer.shown["note"] == "eigenvectors of 2,000" and scene["total"] == 12_000
    assert scene["points"].shape == (12_000, 3)
    assert abs(scene["share"].sum(1).astype(int) - 255).max() <= 2
    solved = viewer._solved.numpy()  # a point that is solved for hangs on itself
    np.testing.assert_array_equal(scene["near"][solved, 0], np.arange(2_000))
    assert (scene["share"][solved, 0] == 255).all()
    assert viewer.page_scene()["near"].shape == (10_000, 3)
    assert len(viewer.record(sigma=12).markup()) < 1_000_000


def test_the_matrix_drawn_in_javascript_is_that_of_the_library(arc, node, tmp_path):
    viewer = KernelViewer(arc, sigma=0.3)
    apart, rows = viewer._scene["apart"], viewer._scene["rows"].astype(int)
    for kernel, gaussian in ((kernels.Gaussian(0.3), "true"), (kernels.Laplacian(0.3), "false")):
        wanted = so.KernelMatrix(kernel, arc[rows]).to_dense()[0]
        script = tmp_path / "entries.mjs"
        script.write_text(
            f'const {{ kernelMatrix }} = await import("file://{pages.JS / "kernel.mjs"}");\n'
            f"console.log(kernelMatrix({apart[0].tolist()}, 0.3, {gaussian}).join());"
        )
        found = np.array(node(str(script)).split(","), dtype=float)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"kernel": "cubic"}, "kernel: got 'cubic', wanted one of 'gaussian', 'laplacian'"),
        ({"sigma": -1.0}, "sigma: got -1.0, wanted a positive length"),
        ({"k": 0}, "k: got 0, wanted a positive integer"),
        ({"x": np.zeros((3, 2))}, "x: got 3 points, wanted at least 4"),
        ({"x": so.KernelMatrix(kernels.Energy(), np.zeros((5, 2)))}, "a Gaussian or a Laplacian"),
        (
            {"x": so.KernelMatrix(kernels.Gaussian(1.0), *np.zeros((2, 5, 2)))},
            "one cloud with itself",
        ),
    ],
)
def test_bad_input(bad, message):
    with pytest.raises(ValueError, match=message):
        KernelViewer(**({"x": np.random.default_rng(0).random((9, 2))} | bad))


def test_points_in_one_place_are_shown():
    viewer = KernelViewer(np.zeros((20, 2)), k=3)
    assert np.isfinite(viewer.shown["vectors"]).all()


def test_an_answer_ends_when_nobody_waits(arc):
    class Enough(Exception):
        pass

    def check():
        raise Enough

    with pytest.raises(Enough):
        KernelViewer(arc, sigma=0.1).answer({"sigma": 0.1}, False, check)
