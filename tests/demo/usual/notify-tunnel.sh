#!/bin/sh
# keepalived's notify script of a router with a tunnel: charon runs on the active node alone, and negotiates as soon as it
# has loaded its connection (start_action = start).
exec 9>@DIR@/notify.lock >>@DIR@/notify.log 2>&1
flock 9
case $1 in
primary) @SERVICE@ start 9>&- ;;
backup | fault) @SERVICE@ stop 9>&- ;;
esac
