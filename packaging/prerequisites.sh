#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Sees to the Debian packages that a make target needs: prerequisites.sh build|msrv|demo|bench|test|kernel|uml|stock|docs|deb|root|repository ...
# As root the missing ones are installed; anybody else is told which they are.
set -eu

minimum_rust=1.85

packages_for() {
	case $1 in
	build) echo gcc libc6-dev pkg-config libnftnl-dev libmnl-dev ;;
	# of rustc 1.85, which packaging/msrv.sh unpacks
	msrv)  [ -z "$(apt-cache --names-only search '^libllvm19$' 2>/dev/null)" ] || echo libllvm19 ;;
	dhcp)  echo kea-dhcp4-server kea-dhcp6-server dnsmasq-base dbus-daemon isc-dhcp-server isc-dhcp-client \
		wide-dhcpv6-client busybox-static libfaketime ;;
	ipsec) echo strongswan-charon charon-systemd strongswan-swanctl libstrongswan-standard-plugins libcharon-extra-plugins \
		libcharon-extauth-plugins ;;
	kernel) echo gcc libc6-dev make flex bison bc xz-utils ;;
	uml)   echo user-mode-linux kmod ;;
	# before Debian 13 qemu has virtiofsd itself
	stock) echo qemu-system-x86 busybox-static
		[ -z "$(apt-cache --names-only search '^virtiofsd$' 2>/dev/null)" ] || echo virtiofsd ;;
	demo)  packages_for ipsec; echo iproute2 nftables keepalived conntrackd rsync dnsmasq-base iputils-ping procps ;;
	ssh)   echo openssh-server openssh-client ;;
	bench) packages_for demo; packages_for dhcp; packages_for ssh; echo conntrack ;;
	test)  packages_for demo; packages_for dhcp; packages_for ssh; echo conntrack frr frr-pythontools tcpdump openssl wireguard-tools \
		nginx-light unbound prometheus python3-prometheus-client python3-yaml snmp snmpd snmptrapd ;;
	docs)  echo scdoc mandoc python3-sphinx python3-myst-parser furo ;;
	deb)   packages_for docs; echo dpkg-dev debhelper lintian ;;
	web)   echo chromium python3-websocket pngquant fonts-inter ;;
	root)  echo mmdebstrap; packages_for repository ;;
	repository) echo apt-utils gnupg ;;
	esac
}

missing() {
	for package in $(for purpose; do packages_for "$purpose"; done | tr ' ' '\n' | sort -u); do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

mask() {
	case $1 in *.*) unit=$1 ;; *) unit=$1.service ;; esac
	mkdir -p /etc/systemd/system
	[ -e "/etc/systemd/system/$unit" ] || ln -sf /dev/null "/etc/systemd/system/$unit"
	echo "$1 comes masked; \`systemctl unmask $1\` makes it a service of this machine"
}

# These are peers in the tests and benches and no services of this machine: their units are masked before
# they arrive, and nothing starts while apt runs.
services="keepalived conntrackd frr kea-dhcp4-server kea-dhcp6-server isc-dhcp-server wide-dhcpv6-client strongswan-charon charon-systemd openssh-server nginx-light unbound prometheus snmpd snmptrapd"

units_of() {
	case $1 in
	strongswan-charon) echo strongswan-starter ipsec ;;
	charon-systemd) echo strongswan ;;
	openssh-server) echo ssh ;;
	nginx-light) echo nginx ;;
	snmptrapd) echo snmptrapd snmptrapd.socket ;;
	*) echo "$1" ;;
	esac
}

install_quietly() {
	for service in $services; do
		case " $* " in
		*" $service "*) for unit in $(units_of "$service"); do mask "$unit"; done ;;
		esac
	done
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		trap 'exit 1' HUP INT TERM
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update </dev/null && apt-get -qy install --no-install-recommends "$@" </dev/null
}

require_rust() {
	if ! command -v cargo >/dev/null; then
		echo "no cargo: install Rust $minimum_rust or later, by \`apt-get install cargo\` (Debian 13), \`apt-get install cargo-web\` (Debian 12) or from https://rustup.rs" >&2
		exit 1
	fi
	found=$(cargo --version | cut -d ' ' -f 2)
	if [ "$(printf '%s\n' $minimum_rust "$found" | sort -V | head -n 1)" != $minimum_rust ]; then
		echo "cargo $found is too old: Rust $minimum_rust or later is needed, from \`apt-get install cargo\` (Debian 13), \`apt-get install cargo-web\` (Debian 12) or https://rustup.rs" >&2
		exit 1
	fi
}

require_rust
if ! command -v dpkg-query >/dev/null; then
	echo "not a Debian system: assuming that what these packages hold is installed: $(for purpose; do packages_for "$purpose"; done | tr '\n' ' ')" >&2
	exit 0
fi
packages=$(missing "$@" | tr '\n' ' ')
[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "Debian packages are missing; as root: apt-get install --no-install-recommends $packages" >&2
	exit 1
fi
# shellcheck disable=SC2086 # a list of packages
install_quietly $packages
