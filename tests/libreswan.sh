#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints a folder with libreswan as Debian distributes it, and the libraries that this machine lacks for it. `libreswan.sh build`
# makes it in the user's cache folder if it is missing: the packages are downloaded and unpacked, never installed, as libreswan's
# conflicts with those of strongSwan. Exits with 2 and a sentence if there is none.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spared
# Another recipe is another folder.
built=$cache/libreswan-$(sha256sum <"$here/libreswan.sh" | cut -c 1-12)
log=$built.log

# What apt would install for it, if it could be: libraries, and the tools of its database.
lacking() {
	direct=$(apt-cache depends --important libreswan | sed -n 's/^ *Depends: \(lib.*\)/\1/p')
	# an upgrade has the present version in brackets
	# shellcheck disable=SC2086 # a list of packages
	apt-get -s -qq --no-install-recommends install $direct | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'
}

# $1: an empty folder. Its database is of keys and certificates, and remains empty.
unpack() {
	mkdir "$1/libraries" "$1/nss" || return
	# shellcheck disable=SC2046 # a list of packages
	(cd "$1" && apt-get -q -o APT::Sandbox::User=root download libreswan $(lacking)) || return
	for package in "$1"/*.deb; do
		dpkg -x "$package" "$1" && rm "$package" || return
	done
	find "$1/usr" -name '*.so*' -exec mv -t "$1/libraries" {} +
	export LD_LIBRARY_PATH="$1/libraries" PATH="$1/usr/bin:$PATH"
	"$1/usr/libexec/ipsec/pluto" --version && certutil -N -d "sql:$1/nss" --empty-password && chmod 644 "$1"/nss/*
}

# One at a time: whoever waited finds what the other made.
build() {
	mkdir -p "$cache" || return
	exec 9>"$cache/libreswan-lock"
	flock 9
	[ ! -d "$built" ] || return 0
	rm -rf "$built".??????
	new=$(mktemp -d "$built.XXXXXX")
	if (unpack "$new") >"$log" 2>&1 9>&- </dev/null; then
		chmod 755 "$new"
		mv "$new" "$built"
	else
		rm -rf "$new"
		return 1
	fi
}

if [ "${1:-}" = build ] && ! build; then
	echo "libreswan: it could not be unpacked: $(tail -n 1 "$log" 2>/dev/null || echo "$cache cannot be written") (log: $log)" >&2
fi
if [ ! -d "$built" ]; then
	echo "no libreswan: none is at $built; \`tests/libreswan.sh build\` makes it" >&2
	exit 2
fi
echo "$built"
