#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the kernel of the test machines: build.sh FILE. The source is Debian's; no half FILE is left, whatever happens.
# Takes five minutes on two idle processors and, while it runs, 3 GB beside FILE.
set -eu

recipe=$(cd "$(dirname "$0")" && pwd)
kernel=${1:?the file to build}
# The first that there is: Debian 12 has both, Debian 13 the second.
sources="linux-source-6.1 linux-source-6.12"

fetch() {
	for source in $sources; do
		apt-get -q download "$source" 2>/dev/null && return
	done
	return 1
}

# 250 ticks a second, as Debian's kernels for machines have; 100 is user-mode-linux's own.
quicken() {
	sed -i '/^config HZ$/,/default/s/default 100/default 250/' arch/um/Kconfig
	grep -q 'default 250' arch/um/Kconfig
}

# A process's floating point registers are written back whole or not at all. With AMX they are 11 kB, and the kernel offers
# the 2.7 kB that it knows: "ptrace set fp regs failed, errno = 14" at the start of init. It shall offer more than any has.
save_amx() {
	file=arch/x86/um/os-Linux/registers.c
	sed -i '/^int restore_fp_registers(/,/^}/ {
		s/^\(\t*\)iov\.iov_base = fp_regs;/\1static char whole[16384] __attribute__((aligned(64)));\
\1__builtin_memcpy(whole, fp_regs, FP_SIZE * sizeof(unsigned long));\
\1iov.iov_base = whole;/
		s/iov\.iov_len = FP_SIZE \* sizeof(unsigned long);/iov.iov_len = sizeof(whole);/
	}' $file
	grep -q 'iov_base = whole' $file && grep -q 'iov_len = sizeof(whole)' $file
}

mkdir -p "$(dirname "$kernel")"
kernel=$(cd "$(dirname "$kernel")" && pwd)/$(basename "$kernel")
work=$(mktemp -d "$kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

if ! fetch; then
	{ [ "$(id -u)" = 0 ] && apt-get -q update >/dev/null && fetch; } || {
		echo "none of these packages is available: $sources" >&2
		exit 1
	}
fi
dpkg -x linux-source-*.deb .
tar -xf usr/src/linux-source-*.tar.xz
cd linux-source-*/
# A make that runs this has settings that are not meant for the kernel's.
unset MAKEFLAGS MFLAGS MAKELEVEL
quicken || { echo "arch/um/Kconfig has another HZ than 100" >&2; exit 1; }
save_amx || { echo "arch/x86/um/os-Linux/registers.c is not as the fix for AMX expects it" >&2; exit 1; }
sh "$recipe/configure.sh"
make -s -j"$(nproc)" ARCH=um vmlinux
strip -o "$work/kernel" vmlinux
"$work/kernel" --version >/dev/null
mv "$work/kernel" "$kernel"
