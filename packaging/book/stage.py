#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gathers what the HTML manual is made of: stage.py MANUAL-PAGES FOLDER

Pages of Markdown keep their places. A link to a manual page's source leads to the page, and a link to what is
no part of the manual, such as code, becomes its words. MANUAL-PAGES holds what scdoc made.
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NO_PAGES = {"target", "src", "man"}
INSTALLED = "/usr/share/doc/spared/html/"


def pages():
    """All pages of Markdown, and the files beside them that the manual has."""

    def belongs(name):
        hidden = any(part.startswith(".") or part in NO_PAGES for part in name.parts)
        if hidden or not (ROOT / name).is_file():
            return False
        return name.suffix in (".md", ".png", ".svg") or name.parts[:2] == ("docs", "examples")

    found = []
    for folder in ["docs", "plugins", "tests"]:
        found += [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*")]
    found += [path.relative_to(ROOT) for path in ROOT.glob("*.md") if path.name != "README.md"]
    return sorted(filter(belongs, found))


def manual_pages(folder):
    return {page.name for page in pathlib.Path(folder).glob("*.[158]")}


def linked(text, here, known, manuals):
    """The text of the page `here` with links that lead somewhere in the manual."""

    def target(match):
        words, link, anchor = match.group(1), match.group(2), match.group(3) or ""
        if re.match(r"[a-z]+:", link) or not link:
            return match.group(0)
        path = pathlib.Path(str((ROOT / here).parent / link)).resolve()
        name = path.relative_to(ROOT)
        if path.suffix == ".scd" and path.stem in manuals:
            return f"[{words}]({link.removesuffix('.scd')}.md{anchor})"
        return match.group(0) if name in known else words

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", target, text)


def with_blank_lines(roff):
    """mandoc leaves empty lines of examples out of its HTML, unless something is on them."""

    def kept(match):
        return match.group(0).replace("\n\n", "\n\\ \n")

    return re.sub(r"^\.nf$.*?^\.fi$", kept, roff, flags=re.S | re.M)


def chapters(page, manuals):
    """A manual page as Markdown: mandoc's HTML below headings that the manual's index knows."""
    command = ["mandoc", "-T", "html", "-O", "fragment"]
    roff = with_blank_lines(page.read_text(encoding="utf-8"))
    fragment = subprocess.run(command, check=True, capture_output=True, input=roff, text=True).stdout
    fragment = fragment.replace("\n&#x00A0;\n", "\n\n")
    fragment = re.sub(r'<table class="(head|foot)">.*?</table>', "", fragment, flags=re.S)
    fragment = re.sub(r'</?section[^>]*>|<div class="manual-text">', "", fragment)
    fragment = fragment.rstrip().removesuffix("</div>")
    parts = re.split(r'<h([12]) class="S[hs]"[^>]*>(.*?)</h[12]>', fragment, flags=re.S)
    name, section = page.name.rsplit(".", 1)
    page_text = [f"# {name}({section})\n"]
    for level, heading, body in zip(parts[1::3], parts[2::3], parts[3::3]):
        heading = " ".join(re.sub(r"<[^>]*>", "", heading).split())
        heading = f"`{heading}`" if heading.startswith("[[") else heading.capitalize()
        body = referenced(body.strip(), manuals)
        page_text.append("#" * (int(level) + 1) + f" {heading}\n")
        page_text.append(f'`````{{raw}} html\n<div class="manual">\n{body}\n</div>\n`````\n')
    return "\n".join(page_text)


def referenced(body, manuals):
    """Links to other manual pages, and to pages of this manual that a page names by their installed place."""

    def other(match):
        name, section = match.group(1), match.group(2)
        page = f"{name}.{section}"
        return f'<a href="{page}.html">{match.group(0)}</a>' if page in manuals else match.group(0)

    body = re.sub(r"<b>([\w.-]+)</b>\((\d)\)", other, body)
    installed = re.escape(INSTALLED) + r"([\w./-]+\.html)"
    return re.sub(installed, lambda match: f'<a href="../../{match.group(1)}">{match.group(0)}</a>', body)


def main():
    made, out = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(out, ignore_errors=True)
    manuals = manual_pages(made)
    known = set(pages())
    for name in known:
        place = out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.suffix == ".md":
            text = (ROOT / name).read_text(encoding="utf-8")
            place.write_text(linked(text, name, known, manuals), encoding="utf-8")
        else:
            shutil.copy(ROOT / name, place)
    for manual in manuals:
        place = out / "docs" / "man" / f"{manual}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(chapters(made / manual, manuals), encoding="utf-8")
    shutil.copy(ROOT / "packaging" / "book" / "index.md", out / "index.md")


main()
