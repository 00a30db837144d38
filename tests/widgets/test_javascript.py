"""The modules of viewers and launcher cards: their tests in Node, and how viewers are joined."""

import re
from pathlib import Path

import pytest

from sparseot_widgets import pages

HERE = Path(__file__).parent / "js"

# What a pass over JavaScript meets: a remark or a string, a piece of a template, a regular expression.
QUOTED = re.compile(r"//[^\n]*|/\*.*?\*/|([\"'])(?:\\.|(?!\1)[^\\\n])*\1", re.DOTALL)
PIECE = re.compile(r"(?:\\.|(?!\$\{)[^`\\])*(`|\$\{)", re.DOTALL)
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^]\\])*\]|[^/\\[\n])+/[a-z]*")


def literals(source: str) -> list[str]:
    """The strings, the pieces of templates and the regular expressions of JavaScript, in order."""
    found: list[str] = []
    open_braces: list[int] = []  # in each template that is not at its end
    at, before = 0, ""
    while at < len(source):
        sign = source[at]
        match = QUOTED.match(source, at)
        if match:
            if not match[0].startswith("/"):
                found.append(match[0])
                before = sign
        elif sign == "`" or (sign == "}" and open_braces and not open_braces[-1]):
            if sign == "}":
                open_braces.pop()
            match = PIECE.match(source, at + 1)
            assert match, source[at : at + 50]
            if match[1] != "`":
                open_braces.append(0)
            found.append(match[0])
            before = match[1]
        elif sign == "/" and before in "(,=:[!&|?{};+-*<>~^":
            match = PATTERN.match(source, at)
            assert match, source[at : at + 50]
            found.append(match[0])
            before = sign
        elif sign in "{}" and open_braces:
            open_braces[-1] += 1 if sign == "{" else -1
        if not match and not sign.isspace():
            before = sign
        at = match.end() if match else at + 1
    # Spaces mean nothing to the shaders of WebGL, and they have none.
    return ["".join(text.split()) if "#version" in text else text for text in found]


def test_units(node):
    said = node("--test", *map(str, sorted(HERE.glob("*.test.mjs"))))
    assert int(re.search(r"pass (\d+)", said)[1]) >= 9 and "fail 0" in said


@pytest.mark.parametrize("module", pages.viewers())
def test_a_bundle_is_one_small_module_without_imports(module, node, tmp_path):
    bundle = pages.bundle(module)
    assert not re.search(r"^\s*(import|export (?!default))", bundle, re.MULTILINE)
    assert len(pages.scripts([module])) < 60_000, "the JavaScript of a page"
    assert len(bundle) < 75_000, "what a kernel sends once"
    path = tmp_path / "bundle.mjs"
    path.write_text(bundle)
    node("--check", str(path))  # two pieces with one name would be a syntax error


def test_literals_are_found():
    source = """a = 'b // c' + `d ${e({ f: `g ${h} i` })} "j"`; // "k"\nl = /["`]/g.test(m) / 2 / n; /* 'o' */"""
    wanted = ["'b // c'", "d ${", "g ${", " i`", ' "j"`', '/["`]/g']
    assert literals(source) == wanted


@pytest.mark.parametrize("module", pages.viewers())
def test_no_sentence_is_changed_where_modules_are_joined(module):
    names = (*pages.SHARED, *pages.BESIDE.get(module, ()), module)
    sources = [(pages.JS / f"{name}.mjs").read_text() for name in names]
    whole = "\n".join(pages.EXPORT.sub("", pages.IMPORT.sub("", source)) for source in sources)
    assert len(literals(whole)) > 500
    assert literals(pages.bundle(module)) == literals(whole)
