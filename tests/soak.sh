#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs what takes longer than a build's tests may: soak.sh NAME COMMAND... Appends date, result and figures to
# target/soak.txt, and leaves all that was said in target/soak-NAME.log.
set -u

name=$1
shift
log=target/soak-$name.log
mkdir -p target
began=$(date +%s)
code=$({ { "$@" 2>&1; echo $? >&3; } | tee "$log" >&2; } 3>&1)
took=$(($(date +%s) - began))

# What a run was told by its environment, for whoever repeats it.
told=$(env | grep -E '^(SPARED_(SEED|KEEP|KIND|ROUNDS|SHARDS|MINUTES|SECONDS|INTERVAL_MS|VMAC)|SETS_ELEMENTS|PROPTEST_CASES|FUZZ_SECONDS)=' | sort | tr '\n' ' ')
case $code in
0) result=ok ;;
*) result="FAILED ($code)" ;;
esac

# The tests' own words, without cargo's and libtest's. Rounds are counted, and the last ones of a failure shown.
figures() {
	grep -c '^round ' "$log" | sed -n 's/^\([1-9].*\)/\1 rounds/p'
	hidden=$([ "$code" = 0 ] && echo 'round |passed: ' || echo 'running ')
	sed 's/^test [^ ]* \.\.\. //' "$log" |
		grep -vE "^($hidden|running |test result: |ok\$|FAILED\$|failures:\$|warning|#[0-9]|INFO|[[:space:]]|\$)" |
		tail -n 40
}

{
	printf '%s %s: %s, %d min %02d s, %s %s\n' "$(date '+%Y-%m-%d %H:%M')" "$name" "$result" $((took / 60)) \
		$((took % 60)) "$(git describe --always --dirty 2>/dev/null)" "$told"
	figures | sed 's/^/    /'
} >>target/soak.txt
echo "soak-$name: $result; target/soak.txt has the figures, $log the rest" >&2
exit "$code"
