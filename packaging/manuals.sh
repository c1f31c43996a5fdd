#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the manual pages of docs/man: manuals.sh DIRECTORY
set -eu

pages=$(dirname "$0")/../docs/man
mkdir -p "$1"
for page in "$pages"/*.scd; do
	scdoc <"$page" >"$1/$(basename "$page" .scd)"
done
