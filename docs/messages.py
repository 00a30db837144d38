"""Every error and warning of the library, read from its source: python docs/messages.py

The site's build writes them to ``gen/messages.md``, which ``guide/messages.md`` includes. What a message says of
the caller's own arguments is shown as an ellipsis.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = (ROOT / "sparseot", ROOT / "widgets" / "sparseot_widgets")
GAP = "…"  # what is known when it happens
ALL = "got {}, wanted {}.{}"
SILENT = (
    "NotImplementedError",
    "AttributeError",
    "AssertionError",
)  # for programmers: no input raises them
TITLES = {
    "": "Points, weights and kernels",
    "losses": "Losses",
    "averages": "Averages",
    "transport": "Transport",
    "operators": "Matrices, eigenpairs and linear systems",
    "engines": "Engines",
    "lazy": "LazyTensors",
    "command": "The command",
    "ragged": "Sets of different sizes",
    "graphs": "Neighbour graphs",
    "costs": "Cost objects",
    "datasets": "Data of the tutorials",
    "formulas": "Costs and kernels of your own",
    "sparseot_widgets": "Viewers and figures",
}


@dataclass(frozen=True)
class Message:
    """What is said, as what, and where in the source."""

    kind: str
    text: str
    path: Path
    line: int

    @property
    def pattern(self) -> str:
        """A regular expression that the message matches when it happens."""
        return ".*".join(map(re.escape, self.text.split(GAP)))

    @property
    def says_something(self) -> bool:
        """Not so where all of it comes from elsewhere, where it is found."""
        return re.search(r"\w", re.sub("got|wanted", "", self.text)) is not None

    @property
    def room(self) -> str:
        """The room that says it."""
        parts = self.path.relative_to(ROOT).parts
        if parts[0] == "widgets":
            return parts[1]
        return parts[1] if len(parts) > 2 else ""


class Source:
    """One file, whose names can be looked up where they were assigned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.above = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    def messages(self) -> Iterator[Message]:
        """All of the file, those of one place with all that a name may hold there."""
        for node in ast.walk(self.tree):
            for kind, text in self._said(node):
                line = getattr(node, "lineno", 0)
                yield Message(kind, re.sub(f"{GAP}+", GAP, text), self.path, line)

    def _said(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Call) and _name(node.func) == "bad_input":
            yield from self._refusals(node)
        elif isinstance(node, ast.Call) and _name(node.func) in ("warn_user", "warn"):
            kind = self._kind(node, 1, "kind", "RuntimeWarning")
            yield from ((kind, text) for text in self.texts(node.args[0]))
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            kind = _name(node.exc.func)
            if kind not in ("bad_input", *SILENT):
                yield from ((kind, text) for text in self.texts(node.exc.args[0]))
        elif isinstance(node, ast.Return) and node.value and self._function(node) == "refuses":
            for text in self.texts(node.value):
                got = ALL.format(GAP, "an engine for this sum", f" {text}")
                yield "ValueError", f"engine: {got}"

    def _refusals(self, call: ast.Call) -> Iterator[tuple[str, str]]:
        """Those of one call of bad_input(argument, got, wanted, fix, kind)."""
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            yield "ValueError", GAP
            return
        given = dict(zip(("argument", "got", "wanted", "fix"), call.args, strict=False))
        given |= {word.arg: word.value for word in call.keywords if word.arg != "kind"}
        fix = self.texts(given["fix"]) if "fix" in given else [""]
        three = [self.texts(given[name]) for name in ("argument", "got", "wanted")]
        kind = self._kind(call, 4, "kind", "ValueError")
        for argument, got, wanted, how in product(*three, fix):
            yield kind, f"{argument}: {ALL.format(got, wanted, how and f' {how}')}"

    def _kind(self, call: ast.Call, place: int, word: str, default: str) -> str:
        for keyword in call.keywords:
            if keyword.arg == word:
                return _name(keyword.value)
        return _name(call.args[place]) if len(call.args) > place else default

    def texts(self, node: ast.expr) -> list[str]:
        """What an expression may say."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [GAP]
        if isinstance(node, ast.JoinedStr):
            parts = [self.texts(part) for part in node.values]
            return ["".join(choice) for choice in product(*parts)]
        if isinstance(node, ast.FormattedValue):
            return self.texts(node.value) if isinstance(node.value, ast.IfExp) else [GAP]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            pairs = product(self.texts(node.left), self.texts(node.right))
            return [left + right for left, right in pairs]
        if isinstance(node, ast.IfExp):
            return [*self.texts(node.body), *self.texts(node.orelse)]
        if isinstance(node, ast.Name):
            return self._assigned(node)
        return [GAP]

    def _assigned(self, name: ast.Name) -> list[str]:
        """What was assigned before, back to where it surely was."""
        function = next((n for n in self._ancestors(name) if isinstance(n, ast.FunctionDef)), None)
        around = {*self._ancestors(name)}
        found: list[str] = []
        inside = ast.walk(function or self.tree)
        before = [
            n
            for n in inside
            if isinstance(n, ast.Assign | ast.AugAssign) and n.lineno < name.lineno
        ]
        for node in sorted(before, key=lambda n: -n.lineno):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if not any(isinstance(t, ast.Name) and t.id == name.id for t in targets):
                continue
            if isinstance(node, ast.AugAssign):
                return [GAP]
            found += self.texts(node.value)
            if self.above[node] in around and not self._otherwise(node, around):
                return found
        return [*found, GAP]

    def _otherwise(self, node: ast.AST, around: set[ast.AST]) -> bool:
        """Whether it stands in one branch of an if, and the message in the other."""
        parent = self.above[node]
        if not isinstance(parent, ast.If):
            return False
        return (node in parent.body) != any(child in around for child in parent.body)

    def _ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.above:
            node = self.above[node]
            yield node

    def _function(self, node: ast.AST) -> str:
        return next((n.name for n in self._ancestors(node) if isinstance(n, ast.FunctionDef)), "")


def _name(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", GAP)


def all_messages() -> list[Message]:
    """Those of the library and its viewers, each text once."""
    found: dict[tuple[str, str], Message] = {}
    for folder in SOURCES:
        for path in sorted(folder.rglob("*.py")):
            for message in Source(path).messages():
                if path.name != "errors.py" and message.says_something:
                    found.setdefault((message.kind, message.text), message)
    return list(found.values())


def page() -> str:
    """The lists as Markdown: warnings, then errors by room."""
    messages = all_messages()
    warned = [m for m in messages if "Warning" in m.kind]
    text = _section("Warnings", warned)
    for room, title in TITLES.items():
        text += _section(title, [m for m in messages if m not in warned and m.room == room])
    return text


def _section(title: str, messages: list[Message]) -> str:
    lines = [f"- `` {m.text} `` ({m.kind})" for m in sorted(messages, key=lambda m: m.text.lower())]
    return "\n".join((f"## {title}", "", *lines, "", ""))


if __name__ == "__main__":
    print(page())
