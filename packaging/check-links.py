#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fails when a link leads nowhere: check-links.py [FOLDER ...]

Without a folder, the links of the repository's pages of Markdown. With one, those of the HTML and Markdown
pages in it, as they are installed: files and anchors.
"""

import html.parser
import os
import pathlib
import re
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The links of an HTML page, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, _tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


class Markdown:
    """The same of a page of Markdown, with anchors as GitHub and MyST make them."""

    def __init__(self, text):
        text = re.sub(r"^(`{3,}).*?^\1`*$", "", text, flags=re.S | re.M)
        self.links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
        headings = re.findall(r"^#+ +(.*?) *$", text, flags=re.M)
        self.anchors = {self.slug(heading) for heading in headings}

    @staticmethod
    def slug(heading):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        return kept.replace(" ", "-")


def read(path, known={}):
    if path not in known:
        text = path.read_text(encoding="utf-8")
        known[path] = Page(text) if path.suffix == ".html" else Markdown(text)
    return known[path]


def pages(folder):
    """All pages below a folder; what was built is not looked through."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "target"]
        found += [pathlib.Path(place, name) for name in names if name.endswith((".html", ".md"))]
    return sorted(found)


def broken(folder):
    found = []
    for path in pages(folder):
        # the manual's first page has another place there, and is looked at there
        if path.relative_to(folder).parts[:2] == ("packaging", "book"):
            continue
        for link in read(path).links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / urllib.parse.unquote(parts.path) if parts.path else path
            # a link of the file system that leads out of the folder leads into another package
            if not target.exists() and not target.is_symlink():
                found.append(f"{path}: {link}")
            elif parts.fragment and target.suffix in (".html", ".md"):
                if urllib.parse.unquote(parts.fragment) not in read(target).anchors:
                    found.append(f"{path}: {link}: no such place in that page")
    return found


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folders = [pathlib.Path(name) for name in sys.argv[1:]] or [root]
    found = [line for folder in folders for line in broken(folder)]
    if found:
        sys.exit("links that lead nowhere:\n" + "\n".join(found))


main()
