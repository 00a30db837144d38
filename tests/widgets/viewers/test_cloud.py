"""CloudViewer: it takes clouds in all their forms, shows what is in them, and says what it left out."""

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot.nn import KNNGraph
from sparseot_widgets import CloudViewer, HessianViewer, PlanViewer
from sparseot_widgets.viewers import cloud as room


class Frame:
    """As much of a data frame as is used: named columns."""

    def __init__(self, **columns):
        self.data = {name: np.asarray(column) for name, column in columns.items()}
        self.columns = list(columns)

    def __getitem__(self, name):
        return self.data[name]


def rand(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def placed(viewer):
    """The points as they travel: levels between bounds."""
    part = viewer._scene["points"]
    return part["lo"] + part["levels"] * ((part["hi"] - part["lo"]) / 65_535)


@pytest.mark.parametrize("dim", [2, 3])
def test_points_are_shown_where_they_are(dim):
    x = 5 * rand(80, dim) - 2
    for points in (x, torch.from_numpy(x).float().requires_grad_()):
        viewer = CloudViewer(points)
        np.testing.assert_allclose(placed(viewer), x, atol=5 / 65_535)
        assert viewer._scene["names"] == ["x₁", "x₂", "x₃"][:dim]
        assert "index" not in viewer._scene and viewer.shown["note"] == ""


def test_one_coordinate_is_a_line_and_many_are_principal_axes():
    line = CloudViewer(rand(30))
    assert placed(line).shape == (30, 2) and abs(placed(line)[:, 1]).max() < 1e-4
    x = rand(60, 50)
    x[:, 7] *= 100
    viewer = CloudViewer(x)
    assert viewer.shown["note"] == "first 3 principal axes of 50 coordinates"
    assert abs(np.corrcoef(placed(viewer)[:, 0], x[:, 7])[0, 1]) > 0.999
    assert list(viewer.controls["colour"].stops) == ["along axis 1", "along axis 2", "along axis 3"]


def test_far_from_zero_the_picture_has_an_origin_of_its_own():
    x = rand(50, 2) + [4_500_000.0, -320_000.0]
    viewer = CloudViewer(x, names=["east", "north"])
    assert viewer._scene["names"] == ["east − 4,500,000", "north + 320,000"]
    np.testing.assert_allclose(placed(viewer), x - [4_500_000.0, -320_000.0], atol=1e-4)
    assert "4.5e+06" in dict(viewer.shown["readout"])["east"]


def test_principal_axes_of_many_points_are_those_of_few(monkeypatch):
    x = rand(400, 6) * np.arange(1, 7)
    exact = placed(CloudViewer(x))
    monkeypatch.setattr("sparseot_widgets.clouds.MANY", 100)
    np.testing.assert_allclose(placed(CloudViewer(x)), exact, atol=1e-3)


def test_rows_that_are_not_numbers_are_left_out_and_said():
    x, height = rand(20, 3), rand(20)
    x[3, 1], x[7, 0], height[11] = np.nan, np.inf, np.nan
    viewer = CloudViewer(x, values=height, labels=np.arange(20))
    assert viewer.shown["note"] == "3 rows with NaN or infinity left out"
    there = [row for row in range(20) if row not in (3, 7, 11)]
    assert viewer._scene["index"].tolist() == there
    words = [viewer._scene["classes"][code] for code in viewer._scene["labels"]]
    assert words == [str(row) for row in there]
    np.testing.assert_allclose(viewer._cloud["values"], height[there], rtol=1e-6)


def test_columns_of_a_data_frame_are_found_by_their_names():
    x = rand(12, 4)
    kinds = np.array(["oak", "<b>elm</b>", "fir"])[np.arange(12) % 3]
    frame = Frame(east=x[:, 0], north=x[:, 1], height=x[:, 2], age=x[:, 3], kind=kinds)
    viewer = CloudViewer(frame, values="age", labels="kind")
    np.testing.assert_allclose(placed(viewer), x[:, :3], atol=1e-4)
    assert viewer._scene["names"] == ["east", "north", "height"]
    assert viewer._scene["of"] == "age" and viewer._scene["classes"] == ["<b>elm</b>", "fir", "oak"]
    assert list(viewer.controls["colour"].stops)[:3] == ["class", "value", "along east"]
    flat = CloudViewer(frame, names=["north", "east"])
    np.testing.assert_allclose(placed(flat), x[:, [1, 0]], atol=1e-4)
    assert "<b>" not in viewer.markup().split("<noscript>")[0]
    for options, message in [
        (
            {"values": "weight"},
            "values: got 'weight', wanted a column of the data frame: east, north",
        ),
        ({"names": ["east", "up"]}, "names: got 'up'"),
        ({"names": ["east", "kind"]}, "names: got column 'kind' of <U"),
    ]:
        with pytest.raises(ValueError, match=message):
            CloudViewer(frame, **options)
    with pytest.raises(ValueError, match="without columns of numbers"):
        CloudViewer(Frame(kind=kinds))


def test_results_of_the_library():
    x, y = torch.rand(15, 3), torch.rand(20, 3)
    viewer = CloudViewer(so.solve_sample(x, y, blur=0.3))
    assert viewer._scene["classes"] == ["source", "target"]
    np.testing.assert_allclose(placed(viewer), torch.cat((x, y)), atol=1e-4)
    kernel = so.KernelMatrix(so.kernels.Gaussian(0.3), x)
    np.testing.assert_allclose(placed(CloudViewer(kernel)), x, atol=1e-4)
    with pytest.raises(TypeError, match="x: got an adjacency, which has no points.*GraphViewer"):
        CloudViewer(KNNGraph(3)(x))


@pytest.mark.parametrize(
    "cost",
    [so.costs.Scaled([1.0, 10.0, 2.0]), so.costs.Labels([[0.0, 1.0], [1.0, 0.0]])],
    ids=["scaled", "labels"],
)
def test_points_that_a_cost_moved_are_shown_where_they_were(cost):
    x, y = torch.rand(12, 3), torch.rand(15, 3)
    x[:, 2], y[:, 2] = x[:, 2].round(), y[:, 2].round()
    found = so.solve_sample(x, y, blur=0.3, cost=cost)
    np.testing.assert_allclose(placed(CloudViewer(found)), torch.cat((x, y)), atol=1e-4)
    assert PlanViewer(found).shown["note"].startswith(f"points as the cost {type(cost).__name__}")


@pytest.mark.parametrize("viewer", [CloudViewer, PlanViewer, HessianViewer])
def test_the_transport_of_a_matrix_has_no_points(viewer):
    found = so.solve(torch.rand(6, 7), reg=0.1)
    with pytest.raises(TypeError, match="x: got the transport of a matrix, which has no points"):
        viewer(found)


def test_values_far_from_zero_keep_their_colours(tmp_path):
    seconds = 1.7e9 + np.arange(50.0)
    viewer = CloudViewer(rand(50, 2), values=seconds)
    part = viewer._scene["values"]
    assert len(np.unique(part["levels"])) == 50 and (part["lo"], part["hi"]) == (0, 49)
    assert viewer._scene["of"] == "value − 1,700,000,000"
    frame = Frame(x=rand(50), y=rand(50), time=-seconds.astype(int))
    viewer = CloudViewer(frame, values="time")
    assert viewer._scene["of"] == "time + 1,700,000,100"
    np.testing.assert_array_equal(viewer._cloud["values"], 100 - np.arange(50.0))
    assert viewer.poster(tmp_path / "poster.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": np.arange(9)}, r"labels: got shape \(9,\), wanted \(10,\), one a point"),
        ({"values": rand(10, 1)}, r"values: got shape \(10, 1\)"),
        (
            {"values": np.array(["a"] * 10)},
            "values: got dtype <U1, wanted numbers. Words are labels",
        ),
        ({"values": "height"}, "values: got a name"),
        (
            {"values": np.full(10, 1e300)},
            r"values: got numbers up to 1e\+300, wanted at most 1e\+38",
        ),
        ({"names": ["east"]}, "names: got 1 names, wanted 2"),
        ({"size": 0.0}, "size: got 0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        CloudViewer(rand(10, 2), **options)


def test_few_points_and_equal_points_have_a_picture(tmp_path):
    for x in (rand(1, 3), rand(1, 2), np.ones((5, 3)), rand(1, 1)):
        viewer = CloudViewer(x, values=np.zeros(len(x)))
        assert viewer.poster(tmp_path / "poster.png").stat().st_size > 1_000
        assert viewer.markup()


def test_very_many_points_are_thinned_and_their_rows_are_known(monkeypatch):
    monkeypatch.setattr(room, "DRAWN", 500)
    x = rand(3_000, 2)
    viewer = CloudViewer(x, labels=np.arange(3_000) % 300)
    assert viewer.shown["note"] == "500 of 3,000 points"
    index = viewer._scene["index"]
    np.testing.assert_allclose(placed(viewer), x[index], atol=1e-4)
    assert viewer._scene["labels"].dtype == np.uint16
    words = np.array(viewer._scene["classes"])[viewer._scene["labels"]]
    assert words.tolist() == [str(row % 300) for row in index]


def test_a_page_of_many_points_has_bytes_in_blocks(monkeypatch):
    monkeypatch.setattr(room, "WHOLE", 1_000)
    x = rand(5_000, 3)
    viewer = CloudViewer(x, values=x[:, 0], labels=x[:, 1] > 0.5)
    scene = viewer.page_scene()
    part = scene["points"]
    block = np.arange(5_000) // part["each"]
    seen = part["lo"][block] + part["levels"] * ((part["hi"] - part["lo"])[block] / 255)
    assert part["levels"].dtype == np.uint8 and "index" not in scene
    size = (part["hi"] - part["lo"]).max()
    assert size < 0.6, "a block is a part of the cloud: 20 of them fill a cube"
    values = scene["values"]
    shade = values["lo"] + values["levels"] * ((values["hi"] - values["lo"]) / 255)
    np.testing.assert_allclose(shade, seen[:, 0], atol=1 / 255)
    clear = abs(seen[:, 1] - 0.5) > size / 255
    np.testing.assert_array_equal(scene["labels"][clear], seen[clear, 1] > 0.5)
    for axis in range(3):
        assert abs(np.sort(seen[:, axis]) - np.sort(x[:, axis])).max() < size / 255
    assert len(viewer.markup()) < 5_000 * 9 + 60_000


def test_a_cloud_asks_python_nothing_when_it_is_moved():
    viewer = CloudViewer(rand(30, 3))
    viewer.colour, viewer.size = "along x₂", 2.0
    assert viewer._asked_for == 0 and viewer.wait(0.0)


def test_a_million_points_travel_in_six_megabytes():
    x = rand(1_000, 3)
    levels = CloudViewer(x)._scene["points"]["levels"]
    assert levels.nbytes == 6 * len(x) and levels.dtype == np.uint16


def test_plans_in_space(tmp_path):
    x, y = torch.rand(30, 4), torch.rand(40, 4) + 0.5
    viewer = PlanViewer(x, y, blur=0.3)
    assert viewer._scene["x"].shape == (30, 3) and viewer._scene["y"].shape == (40, 3)
    assert viewer.shown["note"] == "first 3 principal axes of 4 coordinates"
    assert viewer.poster(tmp_path / "poster.png").stat().st_size > 5_000
    flat = PlanViewer(x[:, :3], y[:, :3], blur=0.3)
    np.testing.assert_allclose(flat._scene["x"], x[:, :3], atol=1e-6)
    assert flat.shown["note"] == ""
