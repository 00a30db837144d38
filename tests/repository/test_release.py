"""What is uploaded: a source archive that builds the wheel of this tree, and works without the tree."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROBE = """
import sys, torch, sparseot, sparseot_widgets
x = torch.rand(30, 2, requires_grad=True)
sparseot.SamplesLoss("sinkhorn", blur=0.1)(x, torch.rand(40, 2)).backward()
assert x.grad.isfinite().all()
print(sparseot.__file__, sparseot_widgets.__file__, sparseot.__version__, sep="\\n")
"""

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    """What a command prints, away from the tree."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target: str, tree: Path, out: Path) -> Path:
    """A wheel or a source archive, as ``python -m build`` makes it, by what is installed here."""
    code = f"import hatchling.build as b; print(b.build_{target}({str(out)!r}))"
    return out / run(sys.executable, "-c", code, cwd=tree).splitlines()[-1]


def content(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel, but for the list of their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(archive, tmp_path_factory) -> Path:
    """The wheel of what the source archive holds."""
    place = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as files:
        files.extractall(place, filter="data")
    (tree,) = place.iterdir()
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


def test_the_source_archive_builds_the_wheel_of_the_tree(archive, wheel, tmp_path):
    assert archive.name == f"sparseot-{PROJECT['version']}.tar.gz"
    assert wheel.name == f"sparseot-{PROJECT['version']}-py3-none-any.whl"
    assert content(wheel) == content(build("wheel", ROOT, tmp_path))


def test_the_source_archive_holds_no_build(archive):
    with tarfile.open(archive) as files:
        paths = [Path(*Path(name).parts[1:]) for name in files.getnames()]
    made = {".venv", "build", "dist", "_build", "auto_gallery", "__pycache__", "notebooks"}
    assert not [path for path in paths if made & set(path.parts)]
    assert {Path("LICENSE"), Path("README.md"), Path("tests/conftest.py")} <= set(paths)


def test_the_metadata_are_whole(wheel):
    """The page of an index shows the readme; what is installed carries its licences."""
    found = content(wheel)
    info = f"sparseot-{PROJECT['version']}.dist-info"
    metadata = message_from_bytes(found[f"{info}/METADATA"])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).decode() == (ROOT / "README.md").read_text()
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    for file in PROJECT["license-files"]:
        assert found[f"{info}/licenses/{file}"] == (ROOT / file).read_bytes()


def test_the_wheel_works_without_the_tree(wheel, tmp_path):
    """In an environment that has the dependencies and nothing else of ours."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    scheme = sysconfig.get_preferred_scheme("prefix")
    paths = {"base": str(place), "platbase": str(place)}
    site = Path(sysconfig.get_path("purelib", scheme, vars=paths))
    scripts = Path(sysconfig.get_path("scripts", scheme, vars=paths))
    pip = [sys.executable, "-m", "pip", "--python", place, "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # a .pth adds the folder and reads no .pth of an editable install there
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    printed = run(scripts / "python", "-c", PROBE, cwd=tmp_path).splitlines()
    ours, widgets = (Path(line).resolve() for line in printed[:2])
    assert ours.is_relative_to(place.resolve()) and widgets.is_relative_to(place.resolve())
    assert printed[2] == PROJECT["version"]
    listed = run(scripts / "sparseot", "tutorials", cwd=tmp_path)
    assert "first_steps" in listed
    run(scripts / "sparseot", "tutorials", "copy", "first_steps", cwd=tmp_path)
    assert list((tmp_path / "sparseot-gallery").rglob("*.ipynb"))
    assert (place / "share/jupyter/labextensions/sparseot/install.json").is_file()
