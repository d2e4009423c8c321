# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Hosts beside each other, so that what is compared can take turns. Sourced, behind lab.sh.

# bench_host NAME N: the namespace $LAB_TAG-NAME at 10.77.N.2, with CLIENT at the other end of its link.
bench_host() {
	local n=$2 ns=$LAB_TAG-$1

	lab_namespace "$ns" && lab_link "$CLIENT" "eth$n" "$ns" eth0 || return 1
	lab_address "$CLIENT" "eth$n" "10.77.$n.1/24" && lab_address "$ns" eth0 "10.77.$n.2/24" || return 1
	on "$ns" ip route add default via "10.77.$n.1"
	on "$ns" sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096
}
