# First process of a machine. Lines before these set NAME, DIR, TOKEN, HARDWARE, CARDS and INIT. The root is the host's
# file system, read-only except for the lab's folder.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/root LANG=C.UTF-8
LAB=${DIR%/*}

# Shows the host that init is alive: a machine that is silent for some seconds is given up.
say() {
	echo "init: $*" >/dev/console
}

say starts
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
for folder in /run /tmp /var/tmp /var/lib /var/log /mnt; do
	# Daemons refuse a /run that everybody may write.
	case $folder in */tmp) mode=1777 ;; *) mode=755 ;; esac
	[ "${LAB#"$folder"/}" != "$LAB" ] || mount -t tmpfs -o mode=$mode tmpfs "$folder"
done
mkdir -p /dev/pts /dev/shm $HOME
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
# qemu's initramfs has done this.
[ "$HARDWARE" != uml ] || mount -t hostfs -o "$LAB" none "$LAB"

hostname "$NAME"
# Debian's user-mode-linux has these as modules, and does not find them by itself.
if [ "$HARDWARE" = uml ] && [ -e /proc/modules ]; then
	say loads modules
	mkdir -p /run/modules/lib
	ln -s /usr/lib/uml/modules /run/modules/lib/modules
	modprobe -d /run/modules -a af_packet tun macvlan veth dummy nf_tables nft_ct nf_conntrack_netlink \
		xfrm_user esp4 esp6 cryptomgr aes_generic gcm ccm ctr ghash-generic seqiv cbc hmac sha256_generic sha512_generic authenc authencesn \
		echainiv drbg
fi
say sets up the network

echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# Settings of each interface: the cards exist already, so defaults would not reach them.
for setting in accept_dad=0 accept_ra=0 send_redirects=0 accept_redirects=0; do
	for file in /proc/sys/net/ipv[46]/conf/*/"${setting%=*}"; do
		echo "${setting#*=}" >"$file"
	done
done
ip link set lo up
number=0
case $HARDWARE in qemu) device=eth ;; *) device=vec ;; esac
for card in $CARDS; do
	ip link set "$device$number" name "$card" up
	number=$((number + 1))
done
ip -batch "$DIR/addresses"

# The fence needs both hooks of the family netdev.
netdev=
if nft 'add table netdev trial { chain in { type filter hook ingress device lo priority 0; }; chain out { type filter hook egress device lo priority 0; }; }'
then
	nft delete table netdev trial
	netdev=netdev
fi

# Commands come in files; a line has only the file's name and the time limit in seconds.
obey() {
	exec 3<>/dev/ttyS0
	stty raw -echo <&3
	# systemctl needs the socket that systemd makes; the wait is bounded where the machine's start is
	[ "$INIT" = shell ] || until [ -S /run/systemd/private ]; do sleep 0.05; done
	echo "$TOKEN up $netdev" >&3
	while read -r number seconds <&3; do
		timeout -k 1 "$seconds" sh "$DIR/$number.command" >"$DIR/$number.output" 2>&1 </dev/null 3>&-
		echo "$TOKEN $number $?" >&3
	done
	poweroff -f
}

[ "$INIT" = systemd ] || obey
# It sees none of the host's units and generators.
mkdir -p "$DIR/units" "$DIR/generators"
for target in default basic sysinit; do
	echo '[Unit]' >"$DIR/units/$target.target"
done
obey &
exec env SYSTEMD_UNIT_PATH="$DIR/units" SYSTEMD_GENERATOR_PATH="$DIR/generators" \
	/lib/systemd/systemd --show-status=no --log-target=kmsg
