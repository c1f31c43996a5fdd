#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the HTML manual, FOLDER/html, of all pages of Markdown and all manual pages: book.sh FOLDER
set -eu

here=$(dirname "$0")
mkdir -p "$1"
sh "$here/manuals.sh" "$1/man"
python3 "$here/book/stage.py" "$1/man" "$1/source"
rm -rf "$1/html"
sphinx-build -q -W --keep-going -b html -c "$here/book" -d "$1/doctrees" "$1/source" "$1/html"
rm -f "$1/html/.buildinfo" "$1/html/objects.inv"
