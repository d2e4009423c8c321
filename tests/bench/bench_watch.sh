#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The cost of watching: full connections a second (connect, send, receive, close) that two busy
# cores get through, without conntrack, with conntrack and nobody listening, and with the daemon
# under a policy that counts new connections, under one that counts half-open handshakes, too, and under one that
# counts concurrent ones as well. Every variant is a host of its own, so that they can take turns.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_watch.sh [TURNS [SECONDS]]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
LAB_TAG=bench-watch
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=hosts.sh
source "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"
lab_begin
TURNS=${1:-7}
SPAN=${2:-3}
VARIANTS=(none conntrack new new-half-open concurrent-too)
declare -A BEST WORST

die() {
	echo "bench_watch: $*" >&2
	exit 1
}

host() {
	local n=$2 ns=$LAB_TAG-$1

	bench_host "$1" "$n" || return 1
	# At the default of two minutes, what is over fills the table within seconds.
	on "$ns" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
	lab_serve "$ns" "10.77.$n.2:80" && lab_serve "$ns" "10.77.$n.2:81"
}

# guard NAME LIMITS: the daemon on that host.
guard() {
	local LAB_DIR=$LAB_DIR/$1 GUARD=$LAB_TAG-$1

	mkdir -p "$LAB_DIR/state"
	guard_policy <<-END
		version: 1
		mode: enforce
		policies:
		  web:
		    match: {ports: [80, 81]}
		    limits:
		      new: {new: 1000000/1s, action: observe, expire: 1m}
		      ${2:-}
		      ${3:-}
	END
	guard_start
}

# Two clients' processes, with 64 addresses of their own each turn: no port comes twice.
turn() {
	local n=$2 base=$3 rate name took entries

	LAB_CLIENTS=()
	LAB_PAUSE=0 clients_start "$1.80" "10.77.$n.2:80" "10.78.$base.1" 64 32
	LAB_PAUSE=0 clients_start "$1.81" "10.77.$n.2:81" "10.78.$base.101" 64 32
	sleep 0.3
	clients_report || die 'the clients say nothing'
	took=${EPOCHREALTIME/./}
	sleep "$SPAN"
	clients_report || die 'the clients say nothing'
	took=$((${EPOCHREALTIME/./} - took))
	((CLIENTS_FAILED == 0)) || die "$1: $CLIENTS_FAILED exchanges failed"
	rate=$((CLIENTS_OK * 1000000 / took))
	entries=$(on "$LAB_TAG-$1" cat /proc/sys/net/netfilter/nf_conntrack_count)
	[[ $1 == none ]] && ((entries > 0)) && die 'there is conntrack where none should be'
	[[ $1 != none ]] && ((entries == 0)) && die "no conntrack on $1"
	for name in "${LAB_CLIENTS[@]}"; do
		kill "${name##*:}"
		wait_until 5 is_gone "${name##*:}"
	done
	((rate > ${BEST[$1]:-0})) && BEST[$1]=$rate
	((rate < ${WORST[$1]:-1000000000})) && WORST[$1]=$rate
}

lab_namespace "$CLIENT" || die 'no namespace'
on "$CLIENT" ip route add local 10.78.0.0/16 dev lo
for n in "${!VARIANTS[@]}"; do
	host "${VARIANTS[n]}" "$n" || die 'no host'
done
on "$LAB_TAG-conntrack" nft -f - <<'END'
table inet tracked { chain c { type filter hook prerouting priority -150; ct state new; }; }
END
half_open='half-open: {half-open: 10000, action: observe, expire: 1m}'
open='open: {concurrent: 10000, action: observe, expire: 1m}'
guard new || die 'no daemon'
guard new-half-open "$half_open" || die 'no daemon'
guard concurrent-too "$half_open" "$open" || die 'no daemon'

for ((i = 0; i < TURNS; i++)); do
	for n in "${!VARIANTS[@]}"; do
		turn "${VARIANTS[n]}" "$n" $((i * ${#VARIANTS[@]} + n))
	done
done
echo "full connections a second, best of $TURNS turns of $SPAN s (worst)"
for name in "${VARIANTS[@]}"; do
	awk -v name="$name" -v best="${BEST[$name]}" -v worst="${WORST[$name]}" \
		-v none="${BEST[none]}" -v tracked="${BEST[conntrack]}" 'BEGIN {
			printf "%-16s %6d/s (%6d)  %.2f x none  %.2f x conntrack\n",
				name, best, worst, best / none, best / tracked
		}'
done
