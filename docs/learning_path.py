"""The learning path on the first page of the gallery: a picture whose boxes are links.

Every tutorial that is in a folder of the gallery gets a box. :data:`AFTER` says which one to read
before; those that it does not name come after the first one of their folder. The picture is drawn
twice, for a screen and for a telephone, and its colours are those of the page, light or dark.
"""

import runpy
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
NOTEBOOKS = runpy.run_path(str(HERE / "notebooks.py"))

START = "first_steps"
# Which tutorial to read before: in another folder where a folder begins, in the same one elsewhere.
AFTER = {
    "first_steps/plot_first_steps": "first_steps/plot_0_first_look",
    "first_steps/plot_look_first": "first_steps/plot_first_steps",
    "gradient_flows/plot_flows_1d_transport": "gradient_flows/plot_flows_1d_kernel_norms",
    "gradient_flows/plot_flows_1d_unbalanced": "gradient_flows/plot_flows_1d_transport",
    "gradient_flows/plot_flows_2d_transport": "gradient_flows/plot_flows_2d_kernel_norms",
    "kernel_matrices/plot_million_points": "kernel_matrices/plot_spectral_coordinates",
    "kernel_matrices/plot_scene_in_pieces": "kernel_matrices/plot_spectral_coordinates",
    "transport/plot_every_solver": "transport/plot_multilevel",
    "transport/plot_how_far": "transport/plot_known_answer",
    "transport/plot_image_averages": "transport/plot_averages",
    "curvature/plot_hessians_spectrum": "curvature/plot_hessians",
    "curvature/plot_newton": "curvature/plot_hessians_spectrum",
    "graphs/plot_2_learned_metric": "graphs/plot_1_calorimeter",
    "graphs/plot_4_learned_adjacency": "graphs/plot_2_learned_metric",
}
# Where a folder does not begin with its first file.
FIRST = {
    "kernel_matrices": "kernel_matrices/plot_matrix_never_stored",
    "transport": "transport/plot_choose_blur",
}

# In pixels. A letter of the font is taken to be as wide as most are not, so that every line fits.
LINE, LETTER, PAD, GAP, STEP, GUTTER = 17, 6.8, 8, 22, 12, 20
THUMB = (60, 42)  # of 400 x 280 pixels, as Sphinx-Gallery makes them
COLOURS = {
    "first_steps": "#0b7a75",
    "gradient_flows": "#c2571a",
    "kernel_matrices": "#2f7fc0",
    "transport": "#7a5bb5",
    "curvature": "#b3446c",
    "graphs": "#4d8b31",
}


@dataclass
class Box:
    """A tutorial, and where it stands: its depth below the first one of its folder, and its place."""

    name: str
    title: str
    parent: str | None = None
    depth: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    thumb: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def height(self) -> float:
        return max(LINE * len(self.lines), THUMB[1] if self.thumb else 0) + 2 * PAD

    @property
    def text_left(self) -> float:
        return self.x + PAD + (THUMB[0] + PAD if self.thumb else 0)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def fit(self, x: float, y: float, width: float) -> None:
        """Stand there, and break the title into lines that fit."""
        self.x, self.y, self.width = x, y, width
        self.lines = broken(self.title, x + width - PAD - self.text_left)


def broken(text: str, width: float) -> list[str]:
    """A text in lines of at most a width, in pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) * LETTER > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def sections(gallery: Path) -> dict[str, list[Box]]:
    """The tutorials of each folder: each after the one before it, and after what hangs there."""
    found: dict[str, list[Box]] = {}
    for script in NOTEBOOKS["in_order"](gallery):
        name = script.relative_to(gallery).with_suffix("").as_posix()
        found.setdefault(name.rpartition("/")[0], []).append(Box(name, NOTEBOOKS["title"](script)))
    return {folder: as_a_tree(boxes, FIRST.get(folder)) for folder, boxes in found.items()}


def as_a_tree(boxes: list[Box], first: str | None) -> list[Box]:
    """The boxes of a folder from the root on, each with its parent and its depth."""
    known = {box.name: box for box in boxes}
    root = known.get(first or "", boxes[0])
    for box in boxes:
        if box is not root:
            before = AFTER.get(box.name)
            box.parent = before if before in known else root.name
    ordered: list[Box] = []

    def visit(box: Box, depth: int) -> None:
        box.depth = depth
        ordered.append(box)
        for child in boxes:
            if child.parent == box.name:
                visit(child, depth + 1)

    visit(root, 0)
    return ordered


def place(folders: dict[str, list[Box]], columns: int, width: float) -> tuple[list, float]:
    """Give every box its place; returns the headings, as (folder, x, y), and the height of it all.

    The first folder stands on top, in a row; the others below it, each in the lowest column so far.
    """
    wide = (width - (columns - 1) * GAP) / columns
    y, last = 34.0, 0.0
    for k, box in enumerate(folders[START]):
        row, column = divmod(k, columns)
        if column == 0 and row:
            y = last + STEP
        box.fit(column * (wide + GAP), y, wide)
        last = max(last, y + box.height)
    tops, headings = [last + 3 * GAP] * columns, [(START, 0.0, 18.0)]
    for folder, boxes in folders.items():
        if folder == START:
            continue
        column = min(range(columns), key=lambda c: tops[c])
        left, y = column * (wide + GAP), tops[column]
        y += 4
        headings.append((folder, left, y))
        y += STEP
        for box in boxes:
            indent = GUTTER * box.depth
            box.fit(left + indent, y, wide - indent)
            y += box.height + STEP
        tops[column] = y + 2 * GAP
    return headings, max(tops) - 2 * GAP


def arrow(path: str) -> str:
    return f'<path class="so-arrow" d="{path}" marker-end="url(#so-tip)"/>'


def arrows(folders: dict[str, list[Box]]) -> list[str]:
    """From each box to those that come after it: along the row on top, else down its left side."""
    drawn = []
    for folder, boxes in folders.items():
        known = {box.name: box for box in boxes}
        for box in boxes:
            before = known.get(box.parent or "")
            if before is None:
                continue
            if folder == START and before.y == box.y:
                x = before.x + before.width
                drawn.append(arrow(f"M{x:g} {box.middle:g} H{box.x - 3:g}"))
            elif folder == START:
                x, bottom = before.x + 20, before.y + before.height
                drawn.append(arrow(f"M{x:g} {bottom:g} V{box.y - 3:g}"))
            else:
                x, bottom = before.x + 10, before.y + before.height
                drawn.append(arrow(f"M{x:g} {bottom:g} V{box.middle:g} H{max(box.x - 3, x + 1):g}"))
    return drawn


def fan(folders: dict[str, list[Box]], headings: list) -> list[str]:
    """From the last of the first steps to the folder that stands highest in each column."""
    last = folders[START][-1]
    bottom = last.y + last.height
    highest = {x + 10: y for _, x, y in reversed(headings[1:])}
    rail = bottom + GAP
    line = f"M{last.x + 10:g} {bottom:g} V{rail:g} M{min(highest):g} {rail:g} H{max(highest):g}"
    drawn = [f'<path class="so-arrow" d="{line}"/>']
    return drawn + [arrow(f"M{x:g} {rail:g} V{y - 18:g}") for x, y in highest.items()]


def link(box: Box) -> str:
    """A box, as a link to the page of its tutorial."""
    top = box.middle - LINE * len(box.lines) / 2
    lines = "".join(
        f'<tspan x="{box.text_left:g}" y="{top + LINE * k + 13:g}">{escape(line)}</tspan>'
        for k, line in enumerate(box.lines)
    )
    folder, _, stem = box.name.rpartition("/")
    image = (
        f'<image href="../_images/sphx_glr_{stem}_thumb.png" x="{box.x + PAD:g}" '
        f'y="{box.middle - THUMB[1] / 2:g}" width="{THUMB[0]}" height="{THUMB[1]}"/>'
    )
    return (
        f'<a href="{box.name}.html" style="--so-hue: {COLOURS.get(folder, "#6e7781")}">'
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
        f"{image if box.thumb else ''}<text>{lines}</text></a>"
    )


def draw(gallery: Path, columns: int, width: float, name: str) -> str:
    """The path as an SVG picture, `columns` folders side by side; thumbnails if there are some."""
    folders = sections(gallery)
    for boxes in folders.values():
        for box in boxes:
            box.thumb = columns > 1
    headings, height = place(folders, columns, width)
    titles = {f: NOTEBOOKS["title"](gallery / f / "GALLERY_HEADER.rst") for f in folders}
    shapes = fan(folders, headings) + arrows(folders)
    shapes += [
        f'<text class="so-heading" x="{x:g}" y="{y:g}" '
        f'style="--so-hue: {COLOURS.get(folder, "#6e7781")}">{escape(titles[folder])}</text>'
        for folder, x, y in headings
    ]
    shapes += [link(box) for boxes in folders.values() for box in boxes]
    tip = (
        f'<defs><marker id="so-tip-{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
    )
    return (
        f'<svg class="so-path so-path-{name}" viewBox="-1 0 {width + 2:g} {height:g}" '
        f'role="group" aria-label="Learning path: which tutorial to read after which">'
        f"{tip}\n" + "\n".join(shapes).replace("#so-tip", f"#so-tip-{name}") + "\n</svg>\n"
    )


def page(gallery: Path) -> str:
    """Both pictures, one for screens and one for telephones; the style sheet shows one of them."""
    return draw(gallery, 3, 840, "wide") + draw(gallery, 1, 340, "narrow")
