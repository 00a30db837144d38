"""Files of points in JupyterLab: what is read from them, and the lines of Python that read the same."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.recfunctions import structured_to_unstructured

OPENED = Path(__file__).parent / "js" / "opened.mjs"
POINTS = np.random.default_rng(0).normal(size=(30, 3))
NAMES = {"np": np, "structured_to_unstructured": structured_to_unstructured}

PLY_TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "i2": "short"}


def ply(kind: str, fields: list[tuple[str, str]], rows: np.ndarray, *, before: str = "") -> bytes:
    """A .ply file: vertices of some fields, and faces after them."""
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(kind, "")
    properties = "".join(f"property {PLY_TYPES[code]} {name}\n" for name, code in fields)
    head = (
        f"ply\nformat {kind} 1.0\ncomment by hand\n{before}element vertex {len(rows)}\n{properties}"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    skipped = struct.pack(f"{order or '<'}BiiBi", 2, 0, 1, 1, 0) if before else b""
    if not order:
        lines = ["2 0 1", "1 0"] if before else []
        lines += [" ".join(f"{value:.9g}" for value in row) for row in rows]
        return head + "\n".join([*lines, "3 0 1 2"]).encode() + b"\n"
    record = np.dtype([(name, order + code) for name, code in fields])
    body = np.array([tuple(row) for row in rows], dtype=record).tobytes()
    return head + skipped + body + struct.pack(f"{order}Biii", 3, 0, 1, 2)


XYZ = [("x", "f4"), ("y", "f4"), ("z", "f4")]
COLOURED = [("red", "u1"), ("z", "f8"), ("x", "i2"), ("y", "f4")]
EDGES = "element edge 2\nproperty list uchar int ends\n"


def csv(sign: str, form: str = "{:.9g}") -> str:
    return "\n".join(sign.join(form.format(value) for value in row) for row in POINTS)


def good_files(folder: Path) -> dict[str, np.ndarray]:
    """One file of each kind, and the points that are in it."""
    wanted = {}

    def write(name: str, content: bytes | str, points: np.ndarray = POINTS) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        wanted[name] = points

    def save(name: str, array: np.ndarray, points: np.ndarray | None = None) -> None:
        np.save(folder / name, array)
        wanted[name] = array if points is None else points

    for code in ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8"):
        save(f"float{code[1:]}{'big' if code[0] == '>' else ''}.npy", POINTS.astype(code))
    for code in ("<i8", ">i4", "<u2", "|i1", "|u1", "|b1"):
        save(f"whole{code[1:]}.npy", (20 * abs(POINTS)).astype(code))
    save("fortran.npy", np.asfortranarray(POINTS))
    save("plane.npy", POINTS[:, :2])
    save("line.npy", POINTS[:, 0], POINTS[:, :1])
    save("turned.npy", POINTS.T.copy(), POINTS)
    save("batch.npy", POINTS.reshape(5, 6, 3), POINTS)
    save("batch_fortran.npy", np.asfortranarray(POINTS.reshape(5, 6, 3)), POINTS)
    record = np.zeros(30, dtype=[("w", "<i4"), ("pos", "<f4", (3,)), ("q", ">f8")])
    record["pos"] = POINTS
    save("record.npy", record, np.c_[np.zeros(30), POINTS[:, :2].astype("f4")])
    named = np.zeros(
        30, dtype=np.dtype({"names": ["t", "y", "x"], "formats": ["u1", "f8", "f4"]}, align=True)
    )
    named["x"], named["y"] = POINTS[:, 0], POINTS[:, 1]
    save("named.npy", named, np.c_[POINTS[:, 0].astype("f4"), POINTS[:, 1]])
    np.savez(folder / "stored.npz", weights=np.ones(300), points=POINTS)
    np.savez_compressed(folder / "packed.npz", small=np.ones((2, 2)), big=POINTS)
    wanted |= {"stored.npz": POINTS, "packed.npz": POINTS}

    for kind in ("ascii", "binary_little_endian", "binary_big_endian"):
        write(f"{kind}.ply", ply(kind, XYZ, POINTS))
        write(f"{kind}_edges.ply", ply(kind, XYZ, POINTS, before=EDGES))
        rows = np.c_[np.arange(30), POINTS[:, 2], np.round(9 * POINTS[:, 0]), POINTS[:, 1]]
        write(f"{kind}_coloured.ply", ply(kind, COLOURED, rows), rows[:, [2, 3, 1]])
    write("return.ply", ply("ascii", XYZ, POINTS).replace(b"\n", b"\r\n"))

    write("commas.csv", "a,b,c\n" + csv(","))
    write("bare.csv", csv(", "))
    write("tabs.tsv", "x\ty\tz\n" + csv("\t") + "\n")
    write("semicolons.csv", "x;y;z\n" + csv(";").replace(".", ","))
    write("spaces.txt", "# made by hand\n\n" + csv("   ") + "\n\n")
    write("percent.txt", "% x y z\n" + csv(" ") + "\n// the end\n")
    write("mark.csv", "\ufeffx,y,z\r\n" + csv(",").replace("\n", "\r\n"))
    write("wide.txt", ("x y z\n" + csv(" ")).encode("utf-16"))
    quoted = [f'{x:.9g},{y:.9g},"a ""b"", c",{z:.9g}' for x, y, z in POINTS]
    write("quoted.csv", '"x","y","what, of\nwhom","z"\n' + "\n".join(quoted))
    write("count.pts", "30\n" + csv(" "))
    write("face.pts", "version: 1\nn_points: 30\n{\n" + csv(" ") + "\n}\n")
    write("plain.xyz", csv(" "))
    write("plain.asc", csv(" "))
    atoms = [f"{'CHO'[k % 3]} {x:.9g} {y:.9g} {z:.9g}" for k, (x, y, z) in enumerate(POINTS)]
    write("molecule.xyz", "\n".join(["30", "a molecule, by hand", *atoms]))
    write("frames.xyz", "\n".join(["30", "first", *atoms, "30", "second", *atoms]))
    write("empty_comment.xyz", "\n".join(["30", "", *atoms]))
    coloured = [f"{x:.9g},{y:.9g},#ff00{k:02},{z:.9g}" for k, (x, y, z) in enumerate(POINTS)]
    write("colours.csv", "\n".join(["x,y,colour,z", *coloured]))
    write("above.csv", "\n".join(["# by hand", "x,y,colour,z", *coloured]))
    write(
        "latin.csv",
        f"name,x,y,z\nCafé,{csv(',').replace(chr(10), chr(10) + 'Café,')}".encode("latin1"),
    )
    write("one.csv", "x,y\n1,2\n", np.array([[1.0, 2.0]]))
    write("column.txt", "\n".join(f"{x:.9g}" for x in POINTS[:, 0]), POINTS[:, :1])
    missing = POINTS.copy()
    missing[[3, 7], [0, 2]] = np.nan
    finite = missing[np.isfinite(missing).all(1)]
    save("missing.npy", missing, finite)
    write(
        "missing.csv",
        "x,y,z\n"
        + "\n".join(",".join("" if np.isnan(v) else f"{v:.9g}" for v in row) for row in missing),
        finite,
    )
    write(
        "not_available.txt",
        "\n".join(" ".join("NA" if np.isnan(v) else f"{v:.9g}" for v in row) for row in missing),
        finite,
    )
    far = POINTS[:, :2] + np.array([4_500_000, 0.0])
    save("far.npy", far)
    return wanted


@pytest.fixture(scope="module")
def opened(node, tmp_path_factory):
    """What the tabs of all good files show, at most 1,000 rows each; the points that they hold."""
    folder = tmp_path_factory.mktemp("files")
    wanted = good_files(folder)
    said = node(str(OPENED), "1000", *(str(folder / name) for name in wanted))
    found = {Path(path).name: what for path, what in json.loads(said).items()}
    assert list(found) == list(wanted)
    return found, wanted


def points_of(tab: dict) -> np.ndarray:
    return np.array(tab["points"]).reshape(tab["shape"])


def test_every_kind_of_file_is_read(opened):
    found, wanted = opened
    assert len(wanted) > 45
    for name, points in wanted.items():
        assert "error" not in found[name], found[name]
        shown = points_of(found[name])
        points = points.astype(float)
        if name == "far.npy":  # said, so that single precision is enough
            assert "shown are" in found[name]["notes"][-1]
            points = points - [round(points[:, 0].mean(), -1), 0]
            shown = shown - shown.mean(0) + points.mean(0)
        if points.shape[1] == 1:
            points = np.c_[points, 0 * points]
        np.testing.assert_allclose(shown, points, rtol=2e-6, atol=1e-6, err_msg=name)


def test_the_lines_of_python_load_what_is_seen(opened):
    found, wanted = opened
    for name, points in wanted.items():
        tab = found[name]
        loaded = eval(tab["line"], dict(NAMES))
        assert loaded.dtype == float and loaded.ndim == 2, name
        np.testing.assert_allclose(loaded, points.astype(float), rtol=1e-6, err_msg=tab["line"])
        some = eval(tab["sparse"], dict(NAMES))
        assert 1 <= len(some) <= 3, tab["sparse"]
        assert (loaded == some[0]).all(1).any(), tab["sparse"]


def test_columns_and_colours_are_chosen_by_their_names(opened):
    found, _ = opened
    assert found["ascii_coloured.ply"]["names"] == ["x", "y", "z"]
    assert found["ascii_coloured.ply"]["colour"] == "value"
    np.testing.assert_array_equal(found["binary_big_endian_coloured.ply"]["values"], np.arange(30))
    assert found["named.npy"]["names"] == ["x", "y"]
    assert found["percent.txt"]["names"] == ["x", "y", "z"]
    assert found["mark.csv"]["columns"] == ["x", "y", "z"]
    assert found["quoted.csv"]["columns"] == ["x", "y", "what, of\nwhom", "z"]
    assert set(found["quoted.csv"]["words"]) == {'a "b", c'}
    assert set(found["latin.csv"]["words"]) == {"Café"}
    assert found["colours.csv"]["names"] == ["x", "y", "z"]
    assert found["molecule.xyz"]["words"] == ["C", "H", "O"] * 10
    assert found["plain.xyz"]["names"] == ["x", "y", "z"]
    assert found["stored.npz"]["arrays"] == ["weights", "points"]
    assert (found["stored.npz"]["array"], found["packed.npz"]["array"]) == ("points", "big")


def test_what_was_done_is_said(opened):
    said = {name: "; ".join(tab["notes"]) for name, tab in opened[0].items()}
    assert "2 rows with NaN or infinity left out" in said["missing.csv"]
    assert "1 line below its first one taken for a remark" in said["percent.txt"]
    assert "first 30 of 62 lines" in said["frames.xyz"]
    assert "its 3 rows are taken as coordinates" in said["turned.npy"]
    assert "5 × 6 × 3 numbers are taken as 30 points" in said["batch.npy"]
    assert said["plain.xyz"] == "text, 30 points"


def test_points_have_the_colours_of_their_file(node, tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (30, 3))
    named = ["x", "y", "z", "red", "green", "blue"]
    whole = ply(
        "binary_little_endian", [*XYZ, *((n, "u1") for n in named[3:])], np.c_[POINTS, colours]
    )
    (tmp_path / "whole.ply").write_bytes(whole)
    for name, unit in {"shares.csv": 255, "wide.csv": 1 / 257}.items():
        np.savetxt(
            tmp_path / name,
            np.c_[POINTS, colours / unit],
            "%.9g",
            ",",
            header=",".join(named),
            comments="",
        )
    names = ("whole.ply", "shares.csv", "wide.csv")
    for tab in json.loads(node(str(OPENED), "99", *(str(tmp_path / n) for n in names))).values():
        assert tab["colour"] == "own colours" and tab["names"] == named[:3]
        assert abs(np.array(tab["rgb"]).reshape(-1, 3) - colours).max() <= 1


def test_long_files_are_sampled_evenly(node, tmp_path):
    points = np.arange(60_000)[:, None] * np.array([1, 2])
    np.save(tmp_path / "long.npy", points.astype("i4"))
    np.savetxt(tmp_path / "long.csv", points, "%d", ",", header="x,y", comments="")
    (tmp_path / "long.ply").write_bytes(ply("ascii", [("x", "f4"), ("y", "f4")], points))
    names = ("long.npy", "long.csv", "long.ply")
    for tab in json.loads(node(str(OPENED), "1000", *(str(tmp_path / n) for n in names))).values():
        assert (points_of(tab) == points[::60]).all()
        assert "1,000 of 60,000 points, evenly" in tab["notes"]


def test_many_coordinates_are_seen_along_principal_axes(node, tmp_path):
    generator = np.random.default_rng(1)
    turn = np.linalg.qr(generator.normal(size=(50, 50)))[0]
    x = generator.normal(size=(400, 50)) * np.r_[9.0, 5.0, 3.0, np.full(47, 0.1)] @ turn + 7
    np.save(tmp_path / "wide.npy", x)
    (tab,) = json.loads(node(str(OPENED), "1000", str(tmp_path / "wide.npy"))).values()
    assert "seen along the first 3 principal axes of 50 columns" in tab["notes"]
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:3]
    wanted = (x - x.mean(0)) @ (axes * np.sign(axes[range(3), abs(axes).argmax(1)])[:, None]).T
    np.testing.assert_allclose(points_of(tab), wanted, atol=1e-3)
    np.testing.assert_array_equal(eval(tab["line"], dict(NAMES)), x)


def test_what_cannot_be_shown_gets_a_sentence(node, tmp_path):
    good = ply("binary_big_endian", XYZ, POINTS)
    text = ply("ascii", XYZ, POINTS)
    edges = ply("binary_big_endian", XYZ, POINTS, before=EDGES)
    (tmp_path / "x.npy").write_bytes(b"")
    np.save(tmp_path / "x.npy", POINTS)
    npy = (tmp_path / "x.npy").read_bytes()
    np.savez_compressed(tmp_path / "x.npz", points=POINTS)
    npz = (tmp_path / "x.npz").read_bytes()
    for name, array in {
        "object": np.array([{}]),
        "words": np.array(["a"]),
        "complex": 1j * POINTS,
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "number.npy", np.float64(3))
    np.save(tmp_path / "none.npy", POINTS[:0])
    np.save(tmp_path / "nan.npy", np.nan * POINTS)
    wanted = {
        "object.npy": "holds Python objects",
        "words.npy": "holds text",
        "complex.npy": "holds complex numbers",
        "number.npy": "a single number",
        "none.npy": "holds no points",
        "nan.npy": "none of its points has finite coordinates",
    }
    broken = {
        "empty.csv": (b"", "it is empty"),
        "cut.npy": (npy[:-5], r"promises 30 × 3 numbers of float64 \(720 bytes\), and 715 bytes follow"),
        "head.npy": (npy[:40], "ends within its header"),
        "tiny.npy": (npy[:7], "ends within its header"),
        "other.npy": (b"not a header", "does not begin as a .npy file does"),
        "shape.npy": (npy.replace(b"shape", b"sharp"), "lacks descr, fortran_order or shape"),
        "cut.npz": (npz[:-30], "end of the .npz file is missing"),
        "damaged.npz": (npz[:60] + b"\0" * 200 + npz[260:], "damaged and cannot be unpacked"),
        "list.npz": (npz.replace(b"PK\x01\x02", b"PK\x01\x09"), "list of contents is damaged"),
        "text.npz": (b"x,y\n1,2\n", "does not begin as a .npz file does"),
        "cut.ply": (good[:-40], "promises 30 points of 12 bytes .* the file was cut off"),
        "line.ply": (text[:-200], "promises 30 points, and 2[0-9] lines of them follow"),
        "format.ply": (text.replace(b"format", b"forget"), "its format is not given"),
        "missing.ply": (text.replace(b"property float z\n", b"property float z\nproperty float w\n"), "its point 1 has 3 numbers, and the header promises 4"),
        "end.ply": (good.replace(b"end_header", b"end"), "has no line end_header"),
        "kind.ply": (good.replace(b"binary_big_endian", b"zipped"), "its format is zipped"),
        "vertex.ply": (good.replace(b"vertex 30", b"corner 30"), "no element called vertex"),
        "number.ply": (good.replace(b"vertex 30", b"vertex many"), "no number of vertex elements"),
        "type.ply": (good.replace(b"float z", b"quad z"), "property that cannot be read: property quad z"),
        "list.ply": (good.replace(b"property float z", b"property list uchar float z"), "lists as properties"),
        "list_type.ply": (edges.replace(b"uchar int ends", b"uchar quad ends"), "property that cannot be read"),
        "edges.ply": (edges[: edges.index(b"end_header") + 15], "cut off"),
        "picture.csv": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is no text"),
        "words.csv": (b"name,town\nada,london\nemmy,erlangen\n", "none of its columns holds numbers"),
        "names.csv": (b"x,y,z\n", "no points follow"),
        "colours.csv": (b"c,x,y\n#ff0000,1,2\n#00ff00,3,4\n", "no points follow; 2 lines below its first one taken for remarks"),
        "remarks.txt": (b"# x y\n# z\n", "remarks alone"),
        "prose.txt": (b"It was a dark night.\nThe rain fell in torrents, as 1 2 3.\nEnd.\n", "table|numbers"),
        "grid.asc": (b"ncols 2\nnrows 1\n1 2\n", "grid of heights"),
        "html<b>.csv": (b"a\nb\n", "html<b>.csv cannot be shown"),
    }  # fmt: skip
    for name, (content, pattern) in broken.items():
        (tmp_path / name).write_bytes(content)
        wanted[name] = pattern
    said = json.loads(node(str(OPENED), "1000", *(str(tmp_path / name) for name in wanted)))
    found = {Path(path).name: what for path, what in said.items()}
    for name, pattern in wanted.items():
        assert "error" in found[name], (name, found[name])
        assert found[name]["kind"] == "Unreadable", found[name]
        assert found[name]["error"].startswith(f"{name} cannot be shown as points: ")
        assert found[name]["error"].count("\n") == 0 and found[name]["error"].endswith(".")
        assert re.search(pattern, found[name]["error"]), found[name]["error"]
