#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the committed inputs found-* of each target, or of those named, anew: of what `make fuzz` left in fuzz/corpus, and of those
# committed, the fewest that reach what made-* does not reach. At most MOST (40) of a target, the longest first, which reach most.
set -eu

cd "$(dirname "$0")"
machine=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- $(ls seeds)
for target; do
	chosen=target/distilled/$target
	rm -rf "$chosen" "$chosen-all"
	mkdir -p "$chosen" "$chosen-all"
	cp "seeds/$target"/made-* "$chosen"
	cp "seeds/$target"/* "$chosen-all"
	find "corpus/$target" -type f -size -4096c -exec cp -t "$chosen-all" {} +
	"target/$machine/release/$target" -merge=1 -set_cover_merge=1 -use_counters=0 "$chosen" "$chosen-all" 2>"$chosen.log"
	rm -f "seeds/$target"/found-*
	find "$chosen" -type f ! -name 'made-*' -printf '%s %p\n' | sort -rn | head -n "${MOST:-40}" |
		while read -r _ file; do
			name=$(sha1sum <"$file" | cut -c 1-12)
			cp "$file" "seeds/$target/found-$name"
		done
	echo "$target: $(ls "seeds/$target" | wc -l) inputs, $(cat "seeds/$target"/* | wc -c) bytes"
done
