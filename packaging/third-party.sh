#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes the notices of the crates that are linked into the programs and the plugins: third-party.sh FILE PLUGIN...
# Their own licence files are taken, so that nothing here can be out of date; a crate without one must be under MIT.
set -eu

file=$1
shift
cd "$(dirname "$0")/.."

# NAME vVERSION|LICENCE|REPOSITORY
linked() {
	packages="-p spared -p sparectl -p spared-plugin-check"
	for plugin; do packages="$packages -p spared-$plugin"; done
	# shellcheck disable=SC2086 # a list of options
	cargo tree --quiet --frozen --edges normal,no-proc-macro --prefix none --format '{p}|{l}|{r}' $packages |
		sed 's/ (\*)$//' | grep -v '^spared\|^sparectl\|^$' | sort -u
}

folder_of() {
	printf '%s\n' "$folders" | grep -e "/$1-$2\$" -e "/$1\$" | head -n 1
}

# All licence files of a crate, but MIT's alone where that may be chosen.
texts() {
	case $2 in
	*" AND "*) ;;
	*MIT*) find "$1" -maxdepth 1 -iname 'licen[cs]e*mit*' | grep . && return ;;
	esac
	find "$1" -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort
}

authors() {
	tr '\n' ' ' <"$1/Cargo.toml" | sed -n 's/.*authors = \[\([^]]*\)\].*/\1/p' | tr -d '"' | sed 's/^ *//; s/[ ,]*$//; s/  */ /g'
}

mit() { sed '1,/^Copyright/d' LICENSE-MIT; }

notice() {
	printf '%s\n%s %s, %s\n%s\n\n' "$rule" "$1" "$2" "$3" "$4"
	folder=$(folder_of "$1" "$2")
	[ -n "$folder" ] || { echo "third-party: $1 $2: no source here; \`cargo fetch --locked\` fetches it" >&2; return 1; }
	found=$(texts "$folder" "$3")
	if [ -n "$found" ]; then
		printf '%s\n' "$found" | tr '\n' '\0' | xargs -0 cat
	else
		case $3 in
		*MIT*) printf 'By %s\n' "$(authors "$folder")"; mit ;;
		*) echo "third-party: $1 $2: no licence file, and $3 is not MIT" >&2; return 1 ;;
		esac
	fi
	echo
}

rule=------------------------------------------------------------------------------
crates=$(linked "$@")
folders=$(cargo metadata --frozen --format-version 1 | tr ',' '\n' | sed -n 's/^"manifest_path":"\(.*\)\/Cargo.toml"$/\1/p')
{
	echo "spared's programs and plugins contain the following software, under the licences that are quoted."
	echo
	printf '%s\nThe Rust standard library, MIT OR Apache-2.0\nhttps://github.com/rust-lang/rust\n\n' "$rule"
	echo "Copyright (c) The Rust Project Contributors"
	mit
	echo
	printf '%s\n' "$crates" | while IFS='|' read -r crate licence repository; do
		name=${crate%% *}
		version=${crate#* v}
		notice "$name" "${version%% *}" "$licence" "$repository"
	done
} >"$file.new"
mv "$file.new" "$file"
