#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs every fuzz target, or those named, by libFuzzer for FUZZ_SECONDS (60) each; stops at the first finding. What it
# finds to be new is kept in fuzz/corpus, what fails in fuzz/artifacts. With cargo-fuzz and a nightly toolchain memory is
# watched as well (AddressSanitizer); any other toolchain does without, and needs a C++ compiler.
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- $(ls fuzz/seeds)
seconds=-max_total_time=${FUZZ_SECONDS:-60}

watched() {
	cargo +nightly fuzz run "$1" "fuzz/corpus/$1" "fuzz/seeds/$1" -- "$seconds"
}

plain() {
	"fuzz/target/$machine/release/$1" "fuzz/corpus/$1" "fuzz/seeds/$1" "$seconds" \
		-artifact_prefix="fuzz/artifacts/$1/"
}

if cargo +nightly fuzz --version >/dev/null 2>&1; then
	run=watched
else
	run=plain
	machine=$(rustc -vV | sed -n 's/^host: //p')
	# what cargo-fuzz sets, without the sanitizer; for a named machine, so that build scripts are spared
	RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
		cargo build --locked --release --target "$machine" --manifest-path fuzz/Cargo.toml
fi
for target; do
	mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
	"$run" "$target"
done
