#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the completions of three shells by the sparectl that was built for release: completions.sh DIRECTORY
set -eu

sparectl=$(dirname "$0")/../target/release/sparectl
mkdir -p "$1"
for shell in bash zsh fish; do
	"$sparectl" completions $shell >"$1/$shell"
done
