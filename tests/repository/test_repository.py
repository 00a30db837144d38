"""What the files around the library promise: the version, the hooks, how to cite, what to report."""

import importlib.metadata
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from packaging.version import Version

import sparseot

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GITHUB = ROOT / ".github"


def read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_library_knows_its_version():
    assert sparseot.__version__ == PROJECT["version"]
    assert "__version__" not in sparseot.__all__, "import * would replace the caller's own"


def test_a_tree_that_is_not_installed_has_a_version_too(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT)])  # nothing is installed here
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("sparseot")
    source = Path(sparseot.__file__)
    names = {"__name__": "sparseot", "__package__": "sparseot"}
    exec(compile(source.read_text(), source, "exec"), names)
    assert names["__version__"] == "0+unknown"
    assert Version(names["__version__"]) < Version(PROJECT["version"])


def test_hooks_are_the_lint_steps_of_make_test():
    recipe = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    steps = re.findall(r"^\t@\$\(BIN\)/(.+)$", recipe, flags=re.MULTILINE)
    repos = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"], "other repositories have other versions"
    hooks = repos[0]["hooks"]
    assert [shlex.split(hook["entry"]) for hook in hooks] == [
        shlex.split(f".venv/bin/{step}") for step in steps
    ]
    assert {"ruff", "mypy", "lint-imports"} == {step.split()[0] for step in steps}
    assert all(hook["language"] == "system" for hook in hooks)
    assert not any(hook["pass_filenames"] for hook in hooks), "make test looks at all files"


def test_the_citation_says_what_pyproject_says():
    citation = read_yaml(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["message"] and citation["abstract"]


def test_cited_papers_are_in_the_bibliographies():
    files = [*(ROOT / "docs" / "guide").glob("*.md"), *(ROOT / "sparseot").rglob("*.py")]
    texts = " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in files)
    for paper in read_yaml(ROOT / "CITATION.cff")["references"]:
        title, author = re.escape(paper["title"]), paper["authors"][0]["family-names"]
        entry = rf"{author}[^*\"]*\b{paper['year']}\b[^*\"]*[*\"]{title}"  # *title* or "title"
        assert re.search(entry, texts, re.IGNORECASE), f"no bibliography has {author}, {title}"
        assert ("doi" in paper) != ("url" in paper), paper["title"]


def test_released_versions_have_a_date():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changelog, flags=re.MULTILINE)
    assert headings
    dates = []
    for heading in headings:
        if heading == "Unreleased" or heading == f"{PROJECT['version']} (unreleased)":
            continue
        version, date = heading.split(" - ")
        assert re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", date), "an ISO date, 2026-12-31"
        dates.append((date, Version(version)))
    assert dates == sorted(dates, reverse=True), "newest first"
    assert "Unreleased" not in headings[1:], "what is not released stands on top"


def test_issue_forms_are_whole():
    forms = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "feature"]
    for form in map(read_yaml, forms):
        assert form["name"] and form["description"]
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        assert all(field["attributes"]["label"] for field in form["body"])


def test_the_command_of_the_bug_form_prints_the_versions(capsys):
    fields = {field["id"]: field for field in read_yaml(GITHUB / "ISSUE_TEMPLATE/bug.yml")["body"]}
    (command,) = re.findall("^python .+$", fields["versions"]["attributes"]["description"], re.M)
    python, flag, code = shlex.split(command)
    assert (python, flag) == ("python", "-c")
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert f"sparseot {sparseot.__version__}" in printed
    assert f"torch {torch.__version__}" in printed


def test_the_workflow_runs_all_checks_on_the_oldest_python():
    workflow = read_yaml(GITHUB / "workflows" / "ci.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads "on" as true
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] == 90
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    (setup,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert f">={setup['python-version']}" == PROJECT["requires-python"]
    for file in setup["cache-dependency-path"].split():
        assert (ROOT / file).is_file()


def test_another_workflow_runs_the_fast_tests_everywhere():
    """On three systems, with each Python that is declared; and builds what would be uploaded."""
    workflow = read_yaml(GITHUB / "workflows" / "everywhere.yml")
    assert workflow["permissions"] == {"contents": "read"}
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    label = "Programming Language :: Python :: 3."
    declared = [line for line in PROJECT["classifiers"] if line.startswith(label)]
    assert matrix["python"] == [line.split()[-1] for line in declared]
    commands = [step["run"] for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    (fast,) = re.findall(r'(-m "not.*)', (ROOT / "Makefile").read_text())
    assert commands[-1] == f"python -m pytest {fast}"
    package = " ".join(step.get("run", "") for step in workflow["jobs"]["package"]["steps"])
    page = (ROOT / "docs" / "releasing.md").read_text()
    for command in ("python -m build", "twine check --strict dist/*"):
        assert command in package and command in page
