#!/bin/sh
# keepalived's notify script: conntrackd's own script, then what runs on the active node alone. Connections come first.
# The lock keeps two roles in quick succession from overlapping.
exec 9>@DIR@/notify.lock >>@DIR@/notify.log 2>&1
flock 9
case $1 in
primary)
	@DIR@/primary-backup.sh primary 9>&-
	echo primary >@DIR@/role
	@SERVICE@ start 9>&-
	;;
backup | fault)
	echo "$1" >@DIR@/role
	@SERVICE@ stop 9>&-
	@DIR@/primary-backup.sh "$1" 9>&-
	;;
esac
