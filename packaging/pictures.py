#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws the pictures of docs/pictures: each NAME.txt, boxes and arrows in plain text, and each NAME.screen, what a
terminal shows, becomes NAME.svg.

pictures.py          draws those that are not up to date
pictures.py --check  names them, and those that are too wide for a phone, and fails
"""

import html
import pathlib
import re
import sys

WIDTH, HEIGHT = 8.4, 18.0  # of a character
ROLES = {"active": "#1a7f37", "backup": "#57606a"}
COLUMNS_MAX = 76  # on a phone of 360 pixels a character is 7 pixels high then

GOOD, WARNING, BAD, FAINT = "#3fb950", "#d29922", "#f85149", "#8b949e"
# of a line of a screen, as `sparectl watch` has them, and what helps the eye
INKS = [
    (r"^OK\b.*", GOOD),
    (r"^(WARN|UNKNOWN)\b.*", WARNING),
    (r"^(ALONE|CONFLICT|NONE)\b.*", BAD),
    (r"^\$ .*|\(SP-\d+\)|since .*|for \d+ \w+$", FAINT),
    (r"\b(active|passing|up|running)\b", GOOD),
    (r"\b(no carrier|down|failed|missing)\b", BAD),
]


class Grid:
    """The text as a rectangle of characters."""

    def __init__(self, text):
        rows = [row.rstrip() for row in text.rstrip("\n").split("\n")]
        self.columns = max(map(len, rows))
        self.rows = [row.ljust(self.columns) for row in rows]

    def at(self, row, column):
        inside = 0 <= row < len(self.rows) and 0 <= column < self.columns
        return self.rows[row][column] if inside else " "

    def goes(self, row, column):
        """Directions that the line at a place leads to: left, right, up, down."""
        char = self.at(row, column)
        left, right = self.at(row, column - 1), self.at(row, column + 1)
        up, down = self.at(row - 1, column), self.at(row + 1, column)
        across, along = "-=+<>", "|:+v^"
        if char in "-=":
            return {"l": left in across or right in across, "r": right in across or left in across}
        if char in "|:":
            straight = up in along or down in along
            return {"u": straight, "d": straight} if char == "|" or (up in ":|+^" and down in ":|+v") else {}
        if char == "+":
            return {
                "l": left in "-=+<",
                "r": right in "-=+>",
                "u": up in "|:+^",
                "d": down in "|:+v",
            }
        return {}

    def arrow(self, row, column):
        """The direction of an arrow's head at a place, or None."""
        char = self.at(row, column)
        if char == ">" and self.at(row, column - 1) in "-=+":
            return "r"
        if char == "<" and self.at(row, column + 1) in "-=+":
            return "l"
        aside = self.at(row, column - 1) + self.at(row, column + 1)
        if not any(it.isalnum() for it in aside):
            if char == "v" and self.at(row - 1, column) in "|:+":
                return "d"
            if char == "^" and self.at(row + 1, column) in "|:+":
                return "u"
        return None

    def is_line(self, row, column):
        return any(self.goes(row, column).values()) or self.arrow(row, column) is not None

    def boxes(self):
        """Rectangles of lines, larger ones first: top, left, bottom, right."""
        found = []
        for top in range(len(self.rows)):
            for left in range(self.columns):
                box = self.at(top, left) == "+" and self.box(top, left)
                if box:
                    found.append(box)
        return sorted(found, key=lambda it: (it[0] - it[2]) * (it[3] - it[1]))

    def box(self, top, left):
        right = left + 1
        while self.at(top, right) in "-=+":
            if self.at(top, right) == "+":
                bottom = self.closed(top, left, right)
                if bottom:
                    return top, left, bottom, right
            right += 1
        return None

    def closed(self, top, left, right):
        bottom = top + 1
        while self.at(bottom, left) in "|+:" and self.at(bottom, right) in "|+:":
            edge = [self.at(bottom, column) for column in range(left, right + 1)]
            if edge[0] == edge[-1] == "+" and all(it in "-=+" for it in edge):
                return bottom
            bottom += 1
        return None


def centre(row, column):
    return (column + 0.5) * WIDTH, (row + 0.5) * HEIGHT


def strokes(grid):
    """Lines and the heads of arrows."""
    pieces, heads, drawn_lines = {}, [], []
    for row in range(len(grid.rows)):
        for column in range(grid.columns):
            x, y = centre(row, column)
            head = grid.arrow(row, column)
            if head:
                heads.append(arrow_head(grid, row, column, head))
            sides = [it for it, is_so in grid.goes(row, column).items() if is_so]
            for direction in sides + (["l", "r"] if head in ("l", "r") else ["u", "d"] if head else []):
                add_piece(pieces, grid, row, column, direction, x, y)
    for (kind, fixed, style), spans in sorted(pieces.items()):
        for start, end in merged(spans):
            ends = (start, fixed, end, fixed) if kind == "across" else (fixed, start, fixed, end)
            drawn_lines.append('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"{}/>'.format(*ends, style))
    return drawn_lines + heads


def add_piece(pieces, grid, row, column, direction, x, y):
    neighbour = {"l": (row, column - 1), "r": (row, column + 1)}.get(direction, (row, column))
    style = ""
    if "=" in (grid.at(row, column), grid.at(*neighbour)):
        style = ' stroke-width="3"'
    if grid.at(row, column) == ":":
        style = ' stroke-dasharray="3 3"'
    if direction in "lr":
        span = (x - WIDTH / 2, x) if direction == "l" else (x, x + WIDTH / 2)
        pieces.setdefault(("across", y, style), []).append(span)
    else:
        span = (y - HEIGHT / 2, y) if direction == "u" else (y, y + HEIGHT / 2)
        pieces.setdefault(("along", x, style), []).append(span)


def merged(spans):
    joined = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 0.01:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return joined


def arrow_head(grid, row, column, direction):
    x, y = centre(row, column)
    dx, dy = {"l": (-1, 0), "r": (1, 0), "u": (0, -1), "d": (0, 1)}[direction]
    reach = WIDTH / 2 if dx else HEIGHT / 2
    if grid.is_line(row + dy, column + dx):
        reach *= 2  # as far as the line that it meets
    tip = (x + dx * reach, y + dy * reach)
    base = (tip[0] - dx * 8, tip[1] - dy * 8)
    points = [tip, (base[0] - dy * 4, base[1] - dx * 4), (base[0] + dy * 4, base[1] + dx * 4)]
    return '<polygon points="{}"/>'.format(" ".join(f"{a:.1f},{b:.1f}" for a, b in points))


def words(grid):
    """What is no line, in runs that two blanks or a line end."""
    runs = []
    for row in range(len(grid.rows)):
        kept = [" " if grid.is_line(row, column) else grid.at(row, column) for column in range(grid.columns)]
        for run in re.finditer(r"\S+(?: \S+)*", "".join(kept)):
            x, y = run.start() * WIDTH, (row + 0.5) * HEIGHT + 4.8
            length = len(run.group()) * WIDTH
            role = ROLES.get(run.group())
            style = f' font-weight="bold" fill="{role}"' if role else ""
            text = html.escape(run.group())
            runs.append(f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}"{style}>{text}</text>')
    return runs


def drawn(text):
    grid = Grid(text)
    width, height = grid.columns * WIDTH + 24, len(grid.rows) * HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="-12 -12 {width:.0f} {height:.0f}" font-family="DejaVu Sans Mono, monospace" font-size="13.5">',
        f'<rect x="-12" y="-12" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    boxes = grid.boxes()
    for top, left, bottom, right in boxes:
        (x, y), (x2, y2) = centre(top, left), centre(bottom, right)
        inside = any(t < top and l < left and b > bottom and r > right for t, l, b, r in boxes)
        fill = "#ffffff" if inside else "#eef3f8"
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{x2 - x:.1f}" height="{y2 - y:.1f}" fill="{fill}"/>')
    parts += ['<g stroke="#1f4e79" stroke-width="1.4" fill="#1f4e79">', *strokes(grid), "</g>"]
    parts += ['<g fill="#1f2328" xml:space="preserve">', *words(grid), "</g>", "</svg>"]
    return "\n".join(parts) + "\n"


def inked(line):
    """The parts of a screen's line, each with its colour; the first pattern that finds something has its part."""
    found = [(match.start(), match.end(), ink) for pattern, ink in INKS for match in re.finditer(pattern, line)]
    parts, at = [], 0
    for begin, end, ink in sorted(found, key=lambda it: (it[0], it[0] - it[1])):
        if begin >= at:
            parts += [(at, line[at:begin], None), (begin, line[begin:end], ink)]
            at = end
    return [it for it in parts + [(at, line[at:], None)] if it[1].strip()]


def screen(text):
    lines = text.rstrip("\n").split("\n")
    width, height = max(map(len, lines)) * WIDTH + 32, len(lines) * HEIGHT + 32
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="-16 -16 {width:.0f} {height:.0f}" font-family="DejaVu Sans Mono, monospace" font-size="13.5">',
        f'<rect x="-16" y="-16" width="{width:.0f}" height="{height:.0f}" rx="8" fill="#161b22"/>',
        '<g fill="#e6edf3" xml:space="preserve">',
    ]
    for row, line in enumerate(lines):
        for column, part, ink in inked(line):
            indent = len(part) - len(part.lstrip())
            kept = part.strip()
            x, y = (column + indent) * WIDTH, (row + 0.5) * HEIGHT + 4.8
            colour = f' fill="{ink}"' if ink else ""
            length = len(kept) * WIDTH
            parts.append(f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}"{colour}>{html.escape(kept)}</text>')
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def main():
    folder = pathlib.Path(__file__).resolve().parent.parent / "docs" / "pictures"
    stale, wide = [], []
    for source in sorted([*folder.glob("*.txt"), *folder.glob("*.screen")]):
        picture = source.with_suffix(".svg")
        text = source.read_text(encoding="utf-8")
        svg = screen(text) if source.suffix == ".screen" else drawn(text)
        if max(map(len, text.split("\n"))) > COLUMNS_MAX:
            wide.append(source.name)
        if picture.exists() and picture.read_text(encoding="utf-8") == svg:
            continue
        stale.append(picture.name)
        if "--check" not in sys.argv:
            picture.write_text(svg, encoding="utf-8")
    if "--check" in sys.argv and stale:
        sys.exit(f"not drawn again after a change, `python3 packaging/pictures.py` does it: {' '.join(stale)}")
    if wide:
        sys.exit(f"more than {COLUMNS_MAX} columns, which nobody can read on a phone: {' '.join(wide)}")


main()
