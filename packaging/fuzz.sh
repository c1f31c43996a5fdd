#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs every fuzz target for FUZZ_SECONDS (60) each; stops at the first finding.
set -eu

cd "$(dirname "$0")/.."
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
	echo "fuzz: needs \`rustup toolchain install nightly\` and \`cargo install cargo-fuzz\`" >&2
	exit 1
fi
for target in fuzz/fuzz_targets/*.rs; do
	cargo +nightly fuzz run "$(basename "$target" .rs)" -- -max_total_time="${FUZZ_SECONDS:-60}"
done
