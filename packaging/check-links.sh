#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fails when a relative link in a Markdown file leads nowhere.
set -eu

cd "$(dirname "$0")/.."
broken=$(find . -name target -prune -o -name '*.md' -print | while read -r page; do
	grep -o '](\([^)#:]*\)[)#]' "$page" | sed 's/^](//; s/[)#]$//' | while read -r link; do
		[ -z "$link" ] || [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"
	done
done)
[ -z "$broken" ] || { printf 'links that lead nowhere:\n%s\n' "$broken" >&2; exit 1; }
