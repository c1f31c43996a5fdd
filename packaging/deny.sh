#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Licences, sources and advisories of all crates, by cargo-deny. DEMANDED=yes: without cargo-deny that is an error.
set -eu

if ! cargo deny --version >/dev/null 2>&1; then
	echo "licences, sources and advisories are not checked: cargo-deny is missing: run \`cargo install --locked cargo-deny\`" >&2
	[ "${DEMANDED:-}" != yes ]
	exit
fi
cargo deny --locked check bans licenses sources
if cargo deny --locked fetch db >/dev/null 2>&1; then
	cargo deny --locked check advisories
else
	echo "advisories are not checked: https://github.com/RustSec/advisory-db cannot be reached from here" >&2
fi
