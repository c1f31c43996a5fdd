#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws the plots of docs/plots: each NAME.txt, figures in plain text, becomes NAME.svg.

plots.py          draws those that are not up to date
plots.py --check  names them, and fails

A text has a line `title: ...`, a line for each axis (`x: ...`, `y: ...`), and then a line for each curve: its name, a
colon, and its points `X Y`, separated by commas.
"""

import html
import pathlib
import sys

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 200, 40, 50
COLOURS = ["#57606a", "#0969da", "#1a7f37", "#bc4c00", "#8250df", "#cf222e"]
STYLE = "font-family:sans-serif;font-size:12px;fill:#24292f"


def parsed(text):
    """Title, names of both axes, and the curves."""
    words, curves = {}, []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, value = line.split(":", 1)
        if name in ("title", "x", "y"):
            words[name] = value.strip()
        else:
            points = [tuple(map(float, point.split())) for point in value.split(",")]
            curves.append((name.strip(), points))
    return words, curves


def steps(most):
    """About five round numbers up to `most`."""
    size = 1.0
    while most / size > 50:
        size *= 10
    size = next(size * factor for factor in (1, 2, 5, 10) if most / (size * factor) <= 6)
    count = int(-(-most // size))
    return [size * number for number in range(count + 1)]


def drawn(text):
    words, curves = parsed(text)
    points = [point for _, points in curves for point in points]
    across, along = steps(max(x for x, _ in points)), steps(max(y for _, y in points))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(x, y):
        return (
            LEFT + (right - LEFT) * x / across[-1],
            bottom - (bottom - TOP) * y / along[-1],
        )

    def label(x, y, words, extra=""):
        return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{html.escape(words)}</text>'

    title = words.get("title", "")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="{STYLE}" role="img" aria-label="{html.escape(title)}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        label(LEFT, 20, title, ' font-weight="bold"'),
    ]
    for y in along:
        at = place(0, y)[1]
        lines.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#d0d7de"/>')
        lines.append(label(LEFT - 8, at + 4, f"{y:g}", ' text-anchor="end"'))
    for x in across:
        lines.append(label(place(x, 0)[0], bottom + 18, f"{x:g}", ' text-anchor="middle"'))
    lines.append(label((LEFT + right) / 2, bottom + 38, words.get("x", ""), ' text-anchor="middle"'))
    lines.append(label(10, TOP - 10, words.get("y", "")))
    for number, (name, points) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(*point) for point in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        row = TOP + 18 * number
        lines.append(f'<path d="M{right + 12} {row}h16" stroke="{colour}" stroke-width="2"/>')
        lines.append(label(right + 34, row + 4, name))
    return "\n".join(lines + ["</svg>", ""])


def main():
    folder = pathlib.Path(__file__).parent.parent / "docs/plots"
    stale = []
    for source in sorted(folder.glob("*.txt")):
        picture, target = drawn(source.read_text()), source.with_suffix(".svg")
        if not target.exists() or target.read_text() != picture:
            stale.append(target)
            if "--check" not in sys.argv:
                target.write_text(picture)
    if stale and "--check" in sys.argv:
        for target in stale:
            print(f"{target} is out of date: run packaging/plots.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
