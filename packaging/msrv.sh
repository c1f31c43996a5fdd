#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks the programs and plugins with Debian's own compiler of the oldest Rust that is promised: rustc of Debian 13,
# rustc-web 1.85 of Debian 12, which its security archive replaces by newer ones. Unless it is the compiler in use, it is
# unpacked beside the system, in ~/.cache/spared, so that no other build meets it: msrv.sh PLUGIN... DEMANDED=yes: without
# one that is an error.
set -eu

minimum=1.85
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/spared/rust-$minimum

libraries=$cache/usr/lib/$(gcc -print-multiarch):$cache/usr/lib

# what is unpacked finds its libraries there; what is installed needs none of them
is_minimum() { LD_LIBRARY_PATH=$libraries "$1" --version 2>/dev/null | grep -q "^rustc $minimum\."; }

version_of() { apt-cache madison "$1" 2>/dev/null | awk -v want="$minimum." 'index($3, want) == 1 { print $3; exit }'; }

# The compiler, its standard library, and the package with its own libraries, which is named after its version.
unpack() {
	for kind in '' -web; do
		version=$(version_of "rustc$kind")
		[ -z "$version" ] || break
	done
	[ -n "$version" ] || return 1
	rm -rf "$cache.new" && mkdir -p "$cache.new/debs"
	(cd "$cache.new/debs" && apt-get -qq download "rustc$kind=$version" "libstd-rust$kind-dev=$version" "libstd-rust$kind-$minimum=$version") >&2 || return 1
	for deb in "$cache.new"/debs/*.deb; do dpkg-deb -x "$deb" "$cache.new"; done
	rm -rf "$cache.new/debs" "$cache" && mv "$cache.new" "$cache"
}

compiler() {
	for found in rustc /usr/bin/rustc "$cache/usr/bin/rustc"; do
		if is_minimum "$found"; then
			echo "$found"
			return
		fi
	done
	unpack && is_minimum "$cache/usr/bin/rustc" && echo "$cache/usr/bin/rustc"
}

if ! rustc=$(compiler); then
	echo "Rust $minimum is not checked: neither rustc nor rustc-web $minimum is to be had by apt here (\`apt-get update\` renews its lists)" >&2
	[ "${DEMANDED:-}" != yes ]
	exit
fi
packages="-p spared -p sparectl -p spared-plugin-check"
for plugin; do packages="$packages -p spared-$plugin"; done
case $rustc in
"$cache"*) export LD_LIBRARY_PATH="$libraries" ;;
esac
echo "$("$rustc" --version): $rustc"
# shellcheck disable=SC2086 # a list of options
RUSTC=$rustc cargo check --locked --target-dir target/msrv --lib --bins $packages
