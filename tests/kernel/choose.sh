#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints which kernel the test machines boot: the one that SPARED_TEST_KERNEL names, the one that was built into the user's
# cache folder, or Debian's linux.uml. `choose.sh build` builds the second if it is missing, and says which one it is.
# Exits with 1 if SPARED_TEST_KERNEL cannot be used, with 2 if there is no kernel.
set -eu

recipe=$(cd "$(dirname "$0")" && pwd)
project=$recipe/../..
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spared
# Another recipe is another kernel.
built=$cache/test-kernel-$(cat "$recipe/build.sh" "$recipe/configure.sh" | sha256sum | cut -c 1-12)
log=$built.log

say() {
	[ "$action" != build ] || echo "test kernel: $*" >&2
}

named() {
	case $SPARED_TEST_KERNEL in
	/*) ;;
	*) echo "SPARED_TEST_KERNEL=$SPARED_TEST_KERNEL is not an absolute path" >&2; exit 1 ;;
	esac
	if ! version=$(timeout 5 "$SPARED_TEST_KERNEL" --version 2>&1 </dev/null); then
		echo "SPARED_TEST_KERNEL=$SPARED_TEST_KERNEL cannot be run: $(echo "$version" | tail -n 1)" >&2
		exit 1
	fi
	say "$version, $SPARED_TEST_KERNEL, named by SPARED_TEST_KERNEL"
	echo "$SPARED_TEST_KERNEL"
}

# One at a time: whoever waited finds what the other built.
build() {
	mkdir -p "$cache" || return
	exec 9>"$cache/lock"
	flock 9
	[ ! -x "$built" ] || return 0
	# Of one that was killed.
	rm -rf "$built".??????
	echo "test kernel: building it into $built, once; about five minutes (log: $log)" >&2
	{ sh "$project/packaging/prerequisites.sh" kernel && sh "$recipe/build.sh" "$built"; } >"$log" 2>&1 9>&- </dev/null
}

debians() {
	[ "$action" != build ] || sh "$project/packaging/prerequisites.sh" uml >&2 || :
	if ! program=$(command -v linux.uml) || ! command -v modprobe >/dev/null; then
		echo "no kernel for machines: none is at $built, and Debian's packages user-mode-linux and kmod are missing" >&2
		exit 2
	fi
	say "$("$program" --version), Debian's $program, which has no nftables netdev family: tests of ESP beside the fence are skipped"
	echo "$program"
}

action=${1:-choose}
if [ -n "${SPARED_TEST_KERNEL:-}" ]; then
	named
	exit
fi
if [ "$action" = build ] && [ "$(id -u)" != 0 ]; then
	say "none is needed, as only root has machines; their tests are skipped"
	exit
fi
if [ "$action" = build ] && [ ! -x "$built" ] && ! build; then
	say "it could not be built: $(tail -n 1 "$log" 2>/dev/null || echo "$cache cannot be written") (log: $log)"
fi
if [ -x "$built" ]; then
	say "$("$built" --version), $built"
	echo "$built"
else
	debians
fi
