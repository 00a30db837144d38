"""Draws the rooms of the library, from the import contracts of pyproject.toml: python docs/rooms.py"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "_static" / "rooms.svg"
BOX, GAP, WIDE, TOP = 34, 8, 250, 44  # pixels
COLOURS = {
    "sparseot": "#3b7dd8",
    "transport": "#b5651d",
    "graphs": "#2e8b57",
    "lazy": "#7a4fa3",
    "trees": "#8a6d1f",
    "grids": "#a3485b",
}


def layers() -> dict[str, list[list[str]]]:
    """The rooms of each contract, the highest first; those of one row do not know each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found = {}
    for contract in contracts["contracts"]:
        if contract["type"] == "layers":
            name = contract.get("containers", ["sparseot"])[0].rsplit(".", 1)[-1]
            rows = [row.replace("(", "").replace(")", "").split("|") for row in contract["layers"]]
            found[name] = [[room.strip().removeprefix("sparseot.") for room in row] for row in rows]
    return found


def draw() -> str:
    """The picture as SVG: each room imports only those below it."""
    columns, shapes = layers(), []
    height = TOP + max(map(len, columns.values())) * (BOX + GAP)
    for column, (name, rows) in enumerate(columns.items()):
        left = column * (WIDE + 4 * GAP)
        title = name if column == 0 else f"inside of {name}"
        shapes.append(f'<text x="{left}" y="26" class="title">{title}</text>')
        for k, row in enumerate(rows):
            width, y = (WIDE - GAP * (len(row) - 1)) / len(row), TOP + k * (BOX + GAP)
            for place, room in enumerate(row):
                x = left + place * (width + GAP)
                colour = COLOURS.get(room, COLOURS[name])
                shapes.append(
                    f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{BOX}" rx="5" fill="{colour}"/>'
                    f'<text x="{x + width / 2:g}" y="{y + 22}" class="room">{room}</text>'
                )
    style = (
        "text{font-family:sans-serif}.title{font-size:15px;fill:#888}"
        ".room{font-size:14px;fill:#fff;text-anchor:middle}"
    )
    width = len(columns) * (WIDE + 4 * GAP) - 4 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{style}</style>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw())
