# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
# What a bare Debian 12 lacks, in one place, for run.sh and demo.sh. Sourced.

# To build tcpguard and to run the lab.
packages_build=(gcc libc6-dev meson ninja-build pkg-config libmnl-dev libnftnl-dev
	libnetfilter-conntrack-dev libyaml-dev libpcap0.8-dev)
# netbase: nft prints protocols by the names of /etc/protocols.
packages_lab=(iproute2 nftables conntrack jq procps kmod netbase)
# What run.sh wants beyond that: a second compiler with its sanitizers and fuzzers, and lint.
packages_tests=(clang libclang-rt-dev clang-format binutils shellcheck python3 iptables dbus-daemon
	python3-dbus python3-gi gir1.2-glib-2.0 python3-nftables python3-cap-ng libdevmapper1.02.1
	libseccomp2 systemd zsh fish)
# Programs that guard or publish a host as soon as they are installed: only taken out of their
# packages, so that nothing of them is started, and run in network namespaces.
packages_unpacked=(prometheus firewalld python3-firewall docker.io containerd runc busybox-static)
# Ansible, and what it imports: nothing of it is wanted on a host beyond the test of the role.
packages_ansible=(ansible-core python3-resolvelib python3-packaging python3-jinja2 python3-markupsafe
	python3-yaml python3-cryptography python3-cffi-backend)
packages_unpacked+=("${packages_ansible[@]}")

packages_missing() {
	local package

	for package; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
			grep -qx installed || printf '%s\n' "$package"
	done
}

# packages_unpack DIRECTORY PACKAGE…: their files below it, once. Nothing is installed.
packages_unpack() {
	local root=$1 package

	shift
	for package; do
		[[ -e $root/.unpacked-$package ]] && continue
		mkdir -p "$root" || return 1
		(cd "$root" && { apt-get -q download "$package" || { apt-get -q update && apt-get -q download "$package"; }; }) \
			>"$root/.log" 2>&1 || { cat "$root/.log" >&2; return 1; }
		dpkg -x "$root/$package"_*.deb "$root" || return 1
		rm -f "$root/$package"_*.deb
		touch "$root/.unpacked-$package"
	done
}

# Installs what is missing of the packages named; asks apt for nothing when all is there.
packages_install() {
	local missing

	mapfile -t missing < <(packages_missing "$@")
	((${#missing[@]})) || return 0
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update && apt-get -q -y --no-install-recommends install "${missing[@]}"
}
