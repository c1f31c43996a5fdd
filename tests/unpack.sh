#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints a folder with an IKE daemon as Debian distributes it, and the libraries that it needs: `unpack.sh libreswan`, or
# `unpack.sh strongswan-6` of Debian 13. `unpack.sh NAME build` makes it in the user's cache folder if it is missing: the
# packages are downloaded and unpacked, never installed. Exits with 2 and a sentence if there is none.
set -eu

name=${1:?libreswan or strongswan-6}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spared
# Another recipe is another folder.
built=$cache/$name-$(sha256sum <"$here/unpack.sh" | cut -c 1-12)
log=$built.log

unpack_all() {
	for package in "$1"/*.deb; do
		dpkg -x "$package" "$1" && rm "$package" || return
	done
}

# What apt would install for libreswan, which conflicts with strongSwan: libraries, and the tools of its database.
lacking() {
	direct=$(apt-cache depends --important libreswan | sed -n 's/^ *Depends: \(lib.*\)/\1/p')
	# an upgrade has the present version in brackets
	# shellcheck disable=SC2086 # a list of packages
	apt-get -s -qq --no-install-recommends install $direct | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'
}

# $1: an empty folder. Its database is of keys and certificates, and remains empty.
libreswan() {
	mkdir "$1/libraries" "$1/nss" || return
	# shellcheck disable=SC2046 # a list of packages
	(cd "$1" && apt-get -q -o APT::Sandbox::User=root download libreswan $(lacking)) || return
	unpack_all "$1" || return
	find "$1/usr" -name '*.so*' -exec mv -t "$1/libraries" {} +
	export LD_LIBRARY_PATH="$1/libraries" PATH="$1/usr/bin:$PATH"
	"$1/usr/libexec/ipsec/pluto" --version && certutil -N -d "sql:$1/nss" --empty-password && chmod 644 "$1"/nss/*
}

# $1: an empty folder; further words for apt-get, which knows Debian 13 and no installed package.
trixie() {
	apt=$1/apt
	shift
	apt-get -q -o Dir::Etc::sourcelist="$apt/sources" -o Dir::Etc::sourceparts=- -o Dir::State="$apt" \
		-o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o APT::Sandbox::User=root \
		-o Acquire::Languages=none "$@"
}

# $1: an empty folder. Its `run` runs a program with this folder's /usr in place of the machine's, down to the C library.
strongswan_6() {
	mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial" || return
	echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main' \
		>"$1/apt/sources"
	: >"$1/apt/status"
	trixie "$1" update || return
	# programs that its packages depend on are not needed
	wanted=$(trixie "$1" -s --no-install-recommends install strongswan-charon strongswan-swanctl \
		libstrongswan-standard-plugins libcharon-extra-plugins libcharon-extauth-plugins |
		sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -E '^(lib|strongswan|openssl|zlib)') || return
	# shellcheck disable=SC2086 # a list of packages
	(cd "$1" && trixie "$1" download $wanted) || return
	unpack_all "$1" && rm -r "$1/apt" || return
	# the folder gets its last name when all is in it
	cat >"$1/run" <<-END
		#!/bin/sh
		exec unshare -m sh -c 'mount --bind $built/usr /usr && exec "\$@"' sh "\$@"
	END
	chmod 755 "$1/run"
	test -x "$1/usr/lib/ipsec/charon" && test -e "$1/usr/lib/ipsec/plugins/libstrongswan-ha.so"
}

# One at a time: whoever waited finds what the other made.
build() {
	mkdir -p "$cache" || return
	exec 9>"$cache/$name-lock"
	flock 9
	[ ! -d "$built" ] || return 0
	rm -rf "$built".??????
	new=$(mktemp -d "$built.XXXXXX")
	case $name in
	libreswan) recipe=libreswan ;;
	strongswan-6) recipe=strongswan_6 ;;
	*) recipe=false ;;
	esac
	if ("$recipe" "$new") >"$log" 2>&1 9>&- </dev/null; then
		chmod 755 "$new"
		mv "$new" "$built"
	else
		rm -rf "$new"
		return 1
	fi
}

if [ "${2:-}" = build ] && ! build; then
	echo "$name: it could not be unpacked: $(tail -n 1 "$log" 2>/dev/null || echo "$cache cannot be written") (log: $log)" >&2
fi
if [ ! -d "$built" ]; then
	echo "no $name: none is at $built; \`tests/unpack.sh $name build\` makes it" >&2
	exit 2
fi
echo "$built"
