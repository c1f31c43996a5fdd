# First process of a machine. Lines before these set NAME, DIR, TOKEN, HARDWARE, CARDS, INIT and CONSOLE. The root is the host's
# file system, read-only except for the lab's folder.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/root LANG=C.UTF-8

# Shows the host that init is alive: a machine that is silent for some seconds is given up.
say() {
	echo "init: $*" >/dev/console
}

say starts
mount -t proc proc /proc
mkdir -p /dev/pts /dev/shm
# One process mounts all, as each start of a program takes milliseconds here.
mount --all --fstab "$DIR/mounts"
mkdir -p $HOME

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
case $HARDWARE in qemu) device=eth ;; *) device=vec ;; esac
{
	echo 'link set lo up'
	number=0
	for card in $CARDS; do
		echo "link set $device$number name $card up"
		number=$((number + 1))
	done
	cat "$DIR/addresses"
} | ip -batch -

# The fence needs both hooks of the family netdev.
netdev=
if nft 'add table netdev trial { chain in { type filter hook ingress device lo priority 0; }; chain out { type filter hook egress device lo priority 0; }; };
	delete table netdev trial'
then
	netdev=netdev
fi

# Commands come in files; a line has only their kind, the file's name and the time limit in seconds.
obey() {
	exec 3<>/dev/ttyS0
	stty raw -echo <&3
	# systemctl needs the socket that systemd makes; the wait is bounded where the machine's start is
	[ "$INIT" = shell ] || until [ -S /run/systemd/private ]; do sleep 0.05; done
	echo "$TOKEN up $netdev" >&3
	"$CONSOLE" "$DIR" "$TOKEN" <&3 >&3 3>&-
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
