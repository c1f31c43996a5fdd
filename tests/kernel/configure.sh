#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Configures the kernel source in the current folder for test machines. Fails if the source drops an option that is asked for.
set -eu

# A kernel in a cache has no folder of modules beside it. The rest is what the default has and no machine here needs.
without="MODULES SOUND UML_SOUND DEBUG_KERNEL MAGIC_SYSRQ FTRACE EXT4_FS REISERFS_FS QUOTA AUTOFS_FS ISO9660_FS UML_NET_SLIP
	UML_NET_SLIRP UML_NET_MCAST UML_NET_DAEMON"

# With stacks of vmalloc a machine may stand still for good (README.md).
without="$without VMAP_STACK"

# The root is the host's file system.
files="HOSTFS TMPFS TMPFS_POSIX_ACL TMPFS_XATTR DEVTMPFS PROC_FS SYSFS OVERLAY_FS INOTIFY_USER FANOTIFY"

# What spared's sandbox, systemd and the daemons of the tests ask of a kernel.
processes="NAMESPACES NET_NS USER_NS PID_NS UTS_NS IPC_NS SECCOMP SECCOMP_FILTER CGROUPS CGROUP_PIDS MEMCG CGROUP_SCHED
	FAIR_GROUP_SCHED CFS_BANDWIDTH PSI EPOLL SIGNALFD TIMERFD EVENTFD AIO POSIX_MQUEUE SYSVIPC BPF_SYSCALL COREDUMP
	ELF_CORE HIGH_RES_TIMERS"

network="NET PACKET PACKET_DIAG UNIX UNIX_DIAG NETLINK_DIAG INET INET_DIAG IPV6 IPV6_OPTIMISTIC_DAD IP_MULTICAST
	IP_ADVANCED_ROUTER IP_MULTIPLE_TABLES IPV6_MULTIPLE_TABLES NET_IPIP IPV6_TUNNEL NET_L3_MASTER_DEV TLS
	NET_SCHED NET_SCH_NETEM NET_SCH_TBF NET_SCH_INGRESS NET_CLS_ACT"

interfaces="UML_NET_VECTOR DUMMY VETH MACVLAN TUN BRIDGE VLAN_8021Q NET_VRF BONDING NET_TEAM IFB WIREGUARD PPP PPPOE PPP_ASYNC"

conntrack="NETFILTER NETFILTER_ADVANCED NETFILTER_INGRESS NETFILTER_EGRESS NETFILTER_NETLINK NF_CONNTRACK NF_CONNTRACK_EVENTS
	NF_CONNTRACK_MARK NF_CONNTRACK_TIMEOUT NF_CONNTRACK_TIMESTAMP NF_CONNTRACK_LABELS NF_CONNTRACK_PROCFS NF_CONNTRACK_ZONES
	NF_CT_PROTO_SCTP NF_CT_NETLINK NF_CONNTRACK_FTP NF_NAT NF_FLOW_TABLE NF_FLOW_TABLE_INET NF_FLOW_TABLE_PROCFS"

# The netdev family holds the fence; Debian's user-mode-linux lacks it.
nftables="NF_TABLES NF_TABLES_NETDEV NF_TABLES_INET NF_TABLES_IPV4 NF_TABLES_IPV6 NF_TABLES_ARP NF_TABLES_BRIDGE NFT_CT NFT_LOG
	NFT_LIMIT NFT_QUOTA NFT_CONNLIMIT NFT_MASQ NFT_REDIR NFT_NAT NFT_REJECT NFT_REJECT_NETDEV NFT_NUMGEN NFT_HASH NFT_FIB
	NFT_FIB_INET NFT_FIB_IPV4 NFT_FIB_IPV6 NFT_FIB_NETDEV NFT_SOCKET NFT_TPROXY NFT_SYNPROXY NFT_XFRM NFT_FWD_NETDEV
	NFT_DUP_NETDEV NFT_FLOW_OFFLOAD NETFILTER_NETLINK_QUEUE NFT_QUEUE"
# Named objects, which later kernels always have.
if_there="NFT_OBJREF"

ipsec="XFRM XFRM_USER XFRM_INTERFACE XFRM_STATISTICS XFRM_MIGRATE NET_KEY INET_ESP INET_AH INET_IPCOMP INET_TUNNEL INET6_ESP
	INET6_AH INET6_TUNNEL NET_IPVTI IPV6_VTI NET_UDP_TUNNEL"

ciphers="CRYPTO CRYPTO_AES CRYPTO_GCM CRYPTO_CCM CRYPTO_CTR CRYPTO_CBC CRYPTO_GHASH CRYPTO_SEQIV CRYPTO_ECHAINIV CRYPTO_AUTHENC
	CRYPTO_HMAC CRYPTO_SHA1 CRYPTO_SHA256 CRYPTO_SHA512 CRYPTO_DRBG_MENU CRYPTO_USER_API_HASH CRYPTO_CHACHA20POLY1305
	CRYPTO_NULL CRYPTO_DES CRYPTO_MD5 CRYPTO_XCBC CRYPTO_CMAC CRYPTO_DEFLATE"

wanted="$files $processes $network $interfaces $conntrack $nftables $ipsec $ciphers"

set_options() {
	how=$1
	shift
	for option; do set -- "$@" "$how" "$option"; shift; done
	scripts/config "$@"
}

make -s ARCH=um x86_64_defconfig
# shellcheck disable=SC2086 # lists of options
set_options --disable $without
# shellcheck disable=SC2086
set_options --enable $wanted $if_there
scripts/config --set-val LOG_BUF_SHIFT 16 --set-str LOCALVERSION -spared
# Some options can be chosen only after those they depend on.
make -s ARCH=um olddefconfig
# shellcheck disable=SC2086
set_options --enable $wanted $if_there
make -s ARCH=um olddefconfig

! grep -qx "CONFIG_VMAP_STACK=y" .config || { echo "this source has no other stacks than those of vmalloc" >&2; exit 1; }
dropped=$(for option in $wanted; do grep -qx "CONFIG_$option=y" .config || echo "$option"; done | tr '\n' ' ')
[ -z "$dropped" ] || { echo "this source does not have, or does not let us set: $dropped" >&2; exit 1; }
