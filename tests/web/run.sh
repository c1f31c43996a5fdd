#!/bin/sh
# Runs run.py on the rendered samples, with axe-core beside them. Arguments go to run.py.
set -eu

axe=4.14.1
work=target/web
mkdir -p "$work"
rm -rf "$work/pages"
target/debug/examples/pages "$work/pages"
if [ ! -e "$work/axe-$axe.js" ]; then
	(cd "$work" && npm pack --silent "axe-core@$axe" >/dev/null && tar -xzf "axe-core-$axe.tgz" package/axe.min.js) &&
		mv "$work/package/axe.min.js" "$work/axe-$axe.js" || echo "axe-core $axe cannot be had by npm" >&2
fi
# the python that has Debian's modules
exec /usr/bin/python3 tests/web/run.py "$work/pages" "$work/axe-$axe.js" "$@"
