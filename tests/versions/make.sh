#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Keeps the programs of a release for the tests of later ones: make.sh FOLDER [NAME]. FOLDER has them as cargo built them; NAME
# is their version if it is not given.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
built=$1
[ -x "$built/spared" ] || { echo "$built has no program spared: make release" >&2; exit 2; }
version=${2:-$("$built/spared" --version | cut -d ' ' -f 2)}
work=$(mktemp -d "$here/.$version.XXXXXX")
trap 'rm -rf "$work"' EXIT
for program in spared sparectl; do
	strip --strip-all -o "$work/$program" "$built/$program"
done
for plugin in vrrp conntrack sets dhcp service; do
	strip --strip-unneeded -o "$work/libspared_$plugin.so" "$built/libspared_$plugin.so"
done
chmod 755 "$work"/*
# the same bytes for the same programs
tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory="$work" . |
	xz --x86 --lzma2=preset=9e --threads=1 >"$work.tar.xz"
mv "$work.tar.xz" "$here/$version.tar.xz"
ls -l "$here/$version.tar.xz"
