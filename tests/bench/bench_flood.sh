#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What each defence is worth in a flood of forged SYNs, as fast as one core sends them: SYNs that a
# host absorbs in a second, and how clients fare meanwhile: a hundred whom nobody knows, one
# connection each, and twenty who come again and again and so are verified. Sender and host share
# the machine: the ratio to a host with conntrack alone is what counts. Every defence is a host of
# its own, so that they can take turns.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_flood.sh [TURNS [SYNS]]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
LAB_TAG=bench-flood
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=hosts.sh
source "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"
lab_begin
TURNS=${1:-3}
SYNS=${2:-600000}
WAYS=(bare conntrack listener observe synproxy budget)
declare -A RATE LINE MAC

die() {
	echo "bench_flood: $*" >&2
	exit 1
}

host() {
	local n=$2 ns=$LAB_TAG-$1

	bench_host "$1" "$n" || return 1
	on "$ns" sysctl -qw net.ipv4.tcp_syncookies=1
	[[ $1 == bare ]] || on "$ns" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
	MAC[$1]=$(on "$ns" cat /sys/class/net/eth0/address)
	on "$CLIENT" ping -c1 -W2 "10.77.$n.2" >/dev/null 2>&1
	lab_serve "$ns" "10.77.$n.2:80"
}

# guard NAME MODE ACTION
guard() {
	local LAB_DIR=$LAB_DIR/$1 GUARD=$LAB_TAG-$1

	mkdir -p "$LAB_DIR/state"
	guard_policy <<-END
		version: 1
		mode: $2
		policies:
		  web:
		    match: {ports: [80]}
		    limits:
		      forged: {half-open: 5000, source: total, $3, expire: 20s}
	END
	guard_start
}

# status NAME FILTER
status() {
	on "$LAB_TAG-$1" "$LAB_CLI" --socket "$LAB_DIR/$1/control.sock" list --json | jq -e "$2" >/dev/null
}

entries() {
	on "$LAB_TAG-$1" cat /proc/sys/net/netfilter/nf_conntrack_count
}

# forge NAME N COUNT [OPTION…]
forge() {
	on "$CLIENT" "$LAB_TOOLS/lab-flood" --dev "eth$2" --mac "${MAC[$1]}" --from 10.128.0.1 --sources 1000000 \
		--stride 32 --to "10.77.$2.2:80" --count "$3" "${@:4}"
}

turn() {
	local name=$1 n=$2 base=$3 flood line sent took rate known

	on "$LAB_TAG-$name" conntrack -F 2>/dev/null
	LAB_CLIENTS=()
	LAB_PAUSE=20 clients_start "$name" "10.77.$n.2:80" "10.78.$base.1" 20 32
	clients_report || die 'the clients say nothing'
	known=$CLIENTS_P95_US
	if [[ $name == synproxy || $name == budget ]]; then
		: >"$LAB_DIR/enter"
		forge "$name" "$n" 100000000 --rate 20000 >/dev/null 2>&1 &
		flood=$!
		wait_until 10 status "$name" 'any(.bans[]; .source == "total" and .enforced)' || die "$name: not entered"
		pkill -P "$flood"
		wait "$flood" 2>/dev/null
	fi
	clients_report || die 'the clients say nothing'
	: >"$LAB_DIR/flood.$name"
	forge "$name" "$n" "$SYNS" >"$LAB_DIR/flood.$name" 2>&1 &
	flood=$!
	line=$(on "$CLIENT" "$LAB_TOOLS/lab-conns" --from "10.79.$base.1" --sources 100 --stride 32 --to "10.77.$n.2:80" \
		--count 100 --rate 60 --timeout 10000 --quiet --hold 0 | grep DONE)
	wait "$flood"
	clients_report || die 'the clients say nothing'
	kill "${LAB_CLIENTS[0]##*:}"
	wait_until 5 is_gone "${LAB_CLIENTS[0]##*:}"
	sent=$(field sent <"$LAB_DIR/flood.$name")
	took=$(field ns <"$LAB_DIR/flood.$name")
	rate=$((sent * 1000 / (took / 1000000)))
	((rate > ${RATE[$name]:-0})) || return 0
	RATE[$name]=$rate
	LINE[$name]=$(printf '%3d of 100, median %6d us, p95 %7d us | %4d ok %3d failed, p95 %6d us (%d before) | %6d' \
		"$(field connected <<<"$line")" "$(field median_us <<<"$line")" "$(field p95_us <<<"$line")" \
		"$CLIENTS_OK" "$CLIENTS_FAILED" "$CLIENTS_P95_US" "$known" "$(entries "$name")")
}

lab_namespace "$CLIENT" || die 'no namespace'
on "$CLIENT" ip route add local 10.78.0.0/15 dev lo
for n in "${!WAYS[@]}"; do
	host "${WAYS[n]}" "$n" || die 'no host'
done
for name in conntrack listener; do
	on "$LAB_TAG-$name" nft -f - <<-'END'
		table inet tracked { chain c { type filter hook prerouting priority -150; ct state new; }; }
	END
done
: >"$LAB_DIR/listen"
ip netns exec "$LAB_TAG-listener" "$LAB_TOOLS/lab-listen" >"$LAB_DIR/listen" 2>&1 &
disown
wait_until 5 grep -q READY "$LAB_DIR/listen" || die 'no listener'
guard observe observe 'action: observe' || die 'no daemon'
guard synproxy enforce 'action: synproxy' || die 'no daemon'
guard budget enforce 'action: rate-limit, to: 2000/1s' || die 'no daemon'

for ((i = 0; i < TURNS; i++)); do
	for n in "${!WAYS[@]}"; do
		turn "${WAYS[n]}" "$n" $((i * ${#WAYS[@]} + n))
	done
done
echo "forged SYNs absorbed, best of $TURNS turns of $SYNS; then, meanwhile: unknown clients | verified ones | entries of conntrack"
for name in "${WAYS[@]}"; do
	printf '%-10s %7d/s  %.2f x conntrack | %s\n' "$name" "${RATE[$name]}" \
		"$((RATE[$name] * 1000 / RATE[conntrack]))e-3" "${LINE[$name]}"
done
