#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws a recording of a terminal (asciicast v2, of `make demo-video`) as an SVG that plays it once, and then shows
its last picture, which is all that a program without animations shows.

recording.py FILE.cast FILE.svg
"""

import html
import json
import re
import sys

WIDTH, HEIGHT = 8.4, 17.0  # of a character
SPEED = 4  # times faster than it was
STEP_S = 1.0  # of the recording, between two pictures
COLOURS = [
    (r"\b(broken|(?<!\d )lost|forgot|gone|out|2x [\d.]+ m?s)\b", "#cf222e"),
    (r"\b(kept|r\d active)\b", "#1a7f37"),
]
OUTPUT = re.compile(r"\x1b\[([?\d]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Terminal:
    """Lines of text, and a cursor that moves as the demo moves it."""

    def __init__(self):
        self.lines, self.row, self.column = [""], 0, 0

    def put(self, text):
        for token in OUTPUT.finditer(text):
            number, letter = token.group(1), token.group(2)
            if letter == "A":
                self.row -= int(number)
            elif letter == "B":
                self.row += int(number)
            elif letter == "K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif token.group() == "\r":
                self.column = 0
            elif token.group() == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif not letter:
                line = self.lines[self.row].ljust(self.column)
                end = self.column + len(token.group())
                self.lines[self.row] = line[: self.column] + token.group() + line[end:]
                self.column = end


def pictures(events):
    """The screen every second, each with its time, and at the end."""
    terminal, shown = Terminal(), []
    for seconds, _, text in events:
        if not shown or seconds - shown[-1][0] >= STEP_S:
            shown.append((seconds, list(terminal.lines)))
        terminal.put(text)
    return shown + [(events[-1][0], terminal.lines)]


def spans(shown):
    """Texts of a line, each with its row, begin and end in seconds; None for the one that stays."""
    rows = max(len(lines) for _, lines in shown)
    found = []
    for row in range(rows):
        text, begin = "", 0.0
        for seconds, lines in shown:
            now = lines[row] if row < len(lines) else ""
            if now != text:
                found.append((row, text, begin, seconds))
                text, begin = now, seconds
        found.append((row, text, begin, None))
    return found


def coloured(text):
    text = html.escape(text)
    for pattern, colour in COLOURS:
        text = re.sub(pattern, lambda found: f'<tspan fill="{colour}">{found.group()}</tspan>', text)
    return text


def line(row, text, begin, end):
    begin, shown = begin / SPEED, ' visibility="hidden"'
    changes = f'<set attributeName="visibility" to="visible" begin="{begin:.2f}s"'
    if end is None:
        shown, changes = "", f'<set attributeName="visibility" to="hidden" begin="0s" dur="{begin:.2f}s"/>'
    else:
        changes += f' dur="{end / SPEED - begin:.2f}s"/>'
    y = (row + 1.5) * HEIGHT
    return f'<text x="12" y="{y:.0f}"{shown}>{coloured(text)}{changes}</text>'


def draw(events):
    shown = pictures(events)
    texts = [line(*span) for span in spans(shown) if span[1].strip()]
    rows = max(len(lines) for _, lines in shown)
    columns = max(len(text) for _, lines in shown for text in lines)
    width, height = columns * WIDTH + 24, (rows + 1) * HEIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-size="14" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" fill="#1f2328" xml:space="preserve">\n'
        '<rect width="100%" height="100%" rx="6" fill="#f6f8fa" stroke="#d1d9e0"/>\n'
    )
    return head + "\n".join(texts) + "\n</svg>\n"


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as recording:
        _header, *events = map(json.loads, recording)
    with open(target, "w", encoding="utf-8") as picture:
        picture.write(draw(events))


main()
