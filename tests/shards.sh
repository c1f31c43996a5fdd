#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a test that mostly waits in so many processes at once: shards.sh N COMMAND... Each has its part of the cases by
# SPARED_SHARD of SPARED_SHARDS. Then says what all of them said, and how often each case passed.
set -u

shards=$1
shift
[ "$shards" -ge 1 ] || exit 2
mkdir -p target
folder=$(mktemp -d target/shards.XXXXXX)
trap 'rm -rf "$folder"' EXIT
for shard in $(seq "$shards"); do
	{
		SPARED_SHARD=$shard SPARED_SHARDS=$shards "$@" >"$folder/$shard" 2>&1
		echo $? >"$folder/$shard.code"
	} &
done
wait
code=0
for shard in $(seq "$shards"); do
	cat "$folder/$shard"
	[ "$(cat "$folder/$shard.code")" = 0 ] || code=1
done
cat "$folder"/*[0-9] | sed -n 's/^passed: //p' | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2: \1 passed/'
grep -q '^passed: ' "$folder"/*[0-9] || { echo "no case has run" >&2; code=1; }
exit $code
