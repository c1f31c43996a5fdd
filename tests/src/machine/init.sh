# The first process of a machine. Before these lines stand NAME, DIR, TOKEN and CARDS.
# The root is the host's own file system, and is read-only but for the lab's folder.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/root LANG=C.UTF-8
LAB=${DIR%/*}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
for folder in /run /tmp /var/tmp /var/lib /var/log /mnt; do
	[ "${LAB#"$folder"/}" != "$LAB" ] || mount -t tmpfs tmpfs "$folder"
done
mkdir -p /dev/pts /dev/shm $HOME
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t hostfs -o "$LAB" none "$LAB"

hostname "$NAME"
mkdir -p /run/modules/lib
ln -s /usr/lib/uml/modules /run/modules/lib/modules
modprobe -d /run/modules -a af_packet tun macvlan veth dummy nf_tables nft_ct nf_conntrack_netlink \
	xfrm_user esp4 esp6 cryptomgr aes_generic gcm ccm ctr ghash-generic seqiv cbc hmac sha256_generic sha512_generic authenc authencesn \
	echainiv drbg

echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# Those of the cards were made with the first module's settings.
for setting in accept_dad=0 accept_ra=0 send_redirects=0 accept_redirects=0; do
	for file in /proc/sys/net/ipv[46]/conf/*/"${setting%=*}"; do
		echo "${setting#*=}" >"$file"
	done
done
ip link set lo up
number=0
for card in $CARDS; do
	ip link set "vec$number" name "$card" up
	number=$((number + 1))
done
ip -batch "$DIR/addresses"

# Commands come as files, by number; the line that names one carries no more than that.
exec 3<>/dev/ttyS0
stty raw -echo <&3
echo "$TOKEN up" >&3
while read -r number seconds <&3; do
	timeout -k 1 "$seconds" sh "$DIR/$number.command" >"$DIR/$number.output" 2>&1 </dev/null 3>&-
	echo "$TOKEN $number $?" >&3
done
poweroff -f
