#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The measures of the contract between the daemon and its plugins, of a commit and of the work tree: how long it is,
# and in N pairs of turns what it costs. contract.sh BASE N
set -eu

base=$1
pairs=$2
cd "$(dirname "$0")/../.."
git rev-parse --verify --quiet "$base^{commit}" >/dev/null || { echo "BASE=$base is no commit of this repository" >&2; exit 2; }

files() { if [ "$1" = here ]; then git ls-files; else git ls-tree -r --name-only "$1"; fi; }
text() { if [ "$1" = here ]; then cat "$2"; else git show "$1:$2"; fi; }

# Lines of code below folders, without comments, empty lines and tests: code COMMIT FOLDER...
code() {
	commit=$1
	shift
	for folder; do
		files "$commit" | grep "^$folder/.*\.rs\$" | grep -vE '/tests(/|\.rs$)' || true
	done | while read -r file; do
		text "$commit" "$file" | awk '
			test { test = 0; if (/^mod .*[{]/) exit }
			/^#\[cfg\(test\)\]/ { test = 1; next }
			! /^[ \t]*(\/\/|$)/'
	done
}

count() { wc -l | tr -d ' '; }
unsafe() { code "$@" | grep -ow unsafe | count; }
directives() {
	code "$1" abi host lib plugins |
		grep -cE '^[ ]*(pub |pub\([a-z]*\) )?struct Directive\b.*\{'
}

row() { printf '%-52s%12s%12s\n' "$@"; }
both() {
	what=$1 measure=$2
	shift 2
	row "$what" "$($measure "$base" "$@")" "$($measure here "$@")"
}
lines() { code "$@" | count; }

row measure "$base" here
both 'definitions of Directive' directives
both 'unsafe in abi, sdk, check, worker' unsafe abi/src abi/contract/src abi/sdk/src abi/check/src host/worker/src host/process/src/worker
both 'lines of code: worker' lines host/worker/src host/process/src/worker
both 'lines of code: abi, contract, sdk, check, hostile' lines abi/src abi/contract/src abi/sdk/src abi/check/src abi/examples/hostile/src

[ "$pairs" != 0 ] || exit 0
# The bench of the work tree measures both, since the base may not have all cases.
pairs() { target/release/bench-pairs "$base" "$1" "$pairs" --by-here --alone --runs=1 "$2"; }
pairs groups 'moves 255'
pairs conntrack rate
pairs idle 10ms
