# SPDX-License-Identifier: MIT OR Apache-2.0
"""How Sphinx makes the manual of what stage.py gathered."""

import pathlib

project = "spared"
author = "The spared authors"
project_copyright = ""

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
# a page of this repository may begin a part with "###", as messages.md does
suppress_warnings = ["myst.header"]
# examples are TOML, sessions of a shell and plain text: the language is not guessed
highlight_language = "none"

html_theme = "furo"
html_title = "spared"
html_static_path = [str(pathlib.Path(__file__).parent / "static")]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
