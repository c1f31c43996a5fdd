#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints a folder with Debian's own kernel for machines of qemu, `vmlinuz` and `initramfs`, and the program that serves their files.
# `stock.sh build` makes it in the user's cache folder if it is missing: the package is downloaded and unpacked, never installed.
# Exits with 2 and a sentence if there is none, or no qemu.
set -eu

recipe=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spared
# Another recipe is another initramfs.
built=$cache/stock-kernel-$(sha256sum <"$recipe/stock.sh" | cut -c 1-12)
log=$built.log

# Loaded before init runs, with what they need: virtio first, for the root file system.
modules="virtio_pci virtiofs virtio_net dummy macvlan veth tun nf_tables nf_conntrack_netlink nft_ct nft_objref nft_reject_inet
	nft_chain_nat nft_fib_inet nft_queue nfnetlink_queue xfrm_user xfrm_interface esp4 esp6 aesni_intel gcm ccm ctr cbc hmac sha256_generic sha512_generic ghash-generic seqiv
	echainiv authenc authencesn drbg"

none() {
	echo "no stock kernel for machines of qemu: $*" >&2
	exit 2
}

# The package of the newest image that the metapackage names.
download() {
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64"; return 1; }
	(cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$package")
	dpkg-deb --fsys-tarfile "$1"/linux-image-*.deb | tar -x -C "$1" --wildcards './boot/vmlinuz-*' './*/modules/*'
}

# $1: the unpacked package, $2: the tree of the initramfs
fill() {
	modules_dir=$(find "$1" -type d -path '*/modules/[0-9]*' -prune)
	version=${modules_dir##*/}
	mkdir -p "$2/lib/modules/$version" "$2/bin" "$2/root" "$2/proc"
	cp "$(command -v busybox)" "$2/bin/busybox"
	# a tree as modprobe wants it, also where the package has usr/lib
	[ -d "$1/lib" ] || ln -s usr/lib "$1/lib"
	busybox depmod -b "$1" "$version"
	for module in $modules; do
		line=$(sed -n "s|^[^:]*/\($module\)\.ko[.xz]*: *|& |p" "$modules_dir/modules.dep" | head -n 1)
		for file in $(echo "$line" | tr -d ':'); do
			mkdir -p "$2/lib/modules/$version/${file%/*}"
			cp "$modules_dir/$file" "$2/lib/modules/$version/$file"
		done
	done
	busybox depmod -b "$2" "$version"
	# LAB, INIT: words of the kernel's command line
	cat >"$2/init" <<-END
		#!/bin/busybox sh
		busybox mount -t proc proc /proc
		for module in $(echo $modules); do busybox modprobe "\$module" 2>/dev/null; done
		busybox mount -t virtiofs root /root || echo "no root file system" >/dev/console
		busybox mount -o bind "/root\$LAB" "/root\$LAB"
		busybox mount -o remount,bind,ro /root
		busybox mount -t devtmpfs dev /root/dev
		busybox umount /proc
		exec busybox switch_root /root "\$INIT"
	END
	chmod 755 "$2/init"
}

# One at a time: whoever waited finds what the other made.
build() {
	mkdir -p "$cache" || return
	exec 9>"$cache/stock-lock"
	flock 9
	[ ! -d "$built" ] || return 0
	rm -rf "$built".??????
	new=$(mktemp -d "$built.XXXXXX")
	mkdir "$new/package" "$new/tree"
	if { sh "$recipe/../../packaging/prerequisites.sh" stock && download "$new/package" && fill "$new/package" "$new/tree" &&
		(cd "$new/tree" && find . | busybox cpio -o -H newc | gzip -1 >"$new/initramfs") &&
		mv "$new"/package/boot/vmlinuz-* "$new/vmlinuz"; } >"$log" 2>&1 9>&- </dev/null
	then
		rm -rf "$new/package" "$new/tree"
		chmod 755 "$new"
		mv "$new" "$built"
	else
		rm -rf "$new"
		return 1
	fi
}

if [ "${1:-}" = build ] && [ "$(id -u)" = 0 ] && ! build; then
	echo "stock kernel: it could not be made: $(tail -n 1 "$log" 2>/dev/null || echo "$cache cannot be written") (log: $log)" >&2
fi
[ "$(uname -m)" = x86_64 ] || none "only for x86_64"
command -v qemu-system-x86_64 >/dev/null || none "qemu-system-x86 is not installed"
for virtiofsd in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd /usr/lib/virtiofsd; do
	[ ! -x "$virtiofsd" ] || break
done
[ -x "$virtiofsd" ] || none "qemu's virtiofsd is not installed"
[ -d "$built" ] || none "none is at $built; \`tests/kernel/stock.sh build\` makes it"
echo "$built"
echo "$virtiofsd"
