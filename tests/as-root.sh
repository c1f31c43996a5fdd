#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a command as root: of this machine, or else of a user namespace with a network of its own. Where the
# kernel gives neither, it runs as it is, and tests that need root say that they are skipped.
[ "$(id -u)" = 0 ] && exec "$@"
if ! unshare -Urnm true 2>/dev/null; then
	echo "as-root: no user namespaces for $(id -un) here: tests that need root are skipped" >&2
	exec "$@"
fi
# /run for ip netns, /sys because it shows the network namespace that mounted it
exec unshare -Urnm sh -c 'mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && exec "$@"' sh "$@"
