#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench_drop.sh BUILD [ROUNDS]: what a dropped packet costs the core that receives it. A client
# sends SYNs as fast as it can; the receiving side of the link is a kernel thread whose CPU time is
# divided by the packets it received. Variants take turns, the best round of each counts, because
# the machine is never alone. As root; nothing leaves the network namespaces it makes.
set -uo pipefail
LAB_BUILD=${1:?names a build directory, best a release build}
ROUNDS=${2:-5}
LAB_TAG=tgbench
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
command -v ethtool >/dev/null || { echo "needs ethtool: apt-get install ethtool" >&2; exit 2; }
lab_init

COUNT=${BENCH_COUNT:-400000}
SOURCES=${BENCH_SOURCES:-1}

lab_pair || exit 1
on "$CLIENT" ethtool -K eth0 tso off >/dev/null
on "$GUARD" ethtool -K eth0 gro on >/dev/null
on "$GUARD" sh -c 'echo 1 > /sys/class/net/eth0/threaded'
NAPI=$(pgrep -x 'napi/eth0-.*' | tail -n 1)
[[ -n $NAPI ]] || { echo 'no kernel thread receives' >&2; exit 1; }
taskset -pc 1 "$NAPI" >/dev/null
lab_serve "$GUARD" 10.77.0.2:80 || exit 1

received() {
	on "$GUARD" cat /sys/class/net/eth0/statistics/rx_packets
}

# settled: nothing more comes in.
settled() {
	local before

	before=$(received)
	sleep 0.1
	[[ $(received) == "$before" ]]
}

burst() {
	taskset -c 0 ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" \
		--from 10.79.0.1 --sources "$SOURCES" --to 10.77.0.2:80 --count "$COUNT" >/dev/null
	wait_until 10 settled
}

# cost: sets NS and INSTRUCTIONS for each packet of one burst.
cost() {
	local packets said

	wait_until 10 settled
	packets=$(received)
	export -f burst settled received wait_until on
	export CLIENT GUARD LAB_TOOLS LAB_MAC SOURCES COUNT
	said=$("$LAB_BUILD/tests/bench/bench_count" "$NAPI" bash -c burst)
	packets=$(($(received) - packets))
	NS=$(($(field ns <<<"$said") / packets))
	INSTRUCTIONS=$(($(field instructions <<<"$said") / packets))
}

bare_set() {
	local hook=$1

	{
		echo 'table inet bare {'
		echo '	set s { type ipv4_addr; flags timeout; timeout 1h; size 2097152;'
		printf '		elements = { 10.79.0.1'
		awk -v n="$SOURCES" 'BEGIN { for (i = 1; i < n; i++) { h = 1 + i; printf ", 10.79.%d.%d", int(h / 256), h % 256 } }'
		printf ' }\n	}\n	chain c { type filter hook %s priority -300; ip saddr @s drop\n	}\n}\n' "$hook"
	} | on "$GUARD" nft -f -
}

start_guard() {
	guard_policy <<EOF
version: 1
mode: enforce
$1
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 200, action: drop, expire: 10m}
      new-per-ip: {new: 100/10s, action: rate-limit, to: 5/1s, expire: 10m}
EOF
	mkdir -p "$LAB_DIR/state"
	"$LAB_TOOLS/lab-state" 0 >"$LAB_DIR/state/bans"
	guard_start || exit 1
}

begin() {
	case $1 in
	nothing) ;;
	conntrack)
		printf 'table inet ct {\n\tchain c {\n\t\ttype filter hook prerouting priority -150\n\t\tct state new counter\n\t}\n}\n' | on "$GUARD" nft -f -
		;;
	bare) bare_set prerouting ;;
	'bare, ingress') bare_set 'ingress device eth0' ;;
	'guard, by hand')
		start_guard ''
		tg ban 10.79.0.1 >/dev/null
		;;
	'guard, by policy') start_guard '' && policy_bans ;;
	'guard, ingress') start_guard $'hook: ingress\ninterfaces: [eth0]' && policy_bans ;;
	'guard, not banned') start_guard '' ;;
	esac
}

# As after 201 connections of that source: a state file is where a ban comes from without them.
policy_bans() {
	guard_stop
	on "$GUARD" nft delete table inet tcpguard
	"$LAB_TOOLS/lab-state" 1 0 0 10.79.0.1 open-per-ip >"$LAB_DIR/state/bans"
	guard_start || exit 1
}

end() {
	if [[ -n ${GUARD_PID:-} ]]; then
		guard_stop
		GUARD_PID=
	fi
	on "$GUARD" nft flush ruleset
	on "$GUARD" conntrack -F >/dev/null 2>&1
	rm -rf "$LAB_DIR/state"
}

[[ -x $LAB_BUILD/tests/bench/bench_count ]] || { echo "first: ninja -C $LAB_BUILD tests/bench/bench_count" >&2; exit 2; }
VARIANTS=(nothing conntrack bare 'bare, ingress' 'guard, by hand' 'guard, by policy' 'guard, ingress' 'guard, not banned')
declare -A BEST LEAST
for ((round = 0; round < ROUNDS; round++)); do
	for variant in "${VARIANTS[@]}"; do
		begin "$variant"
		cost
		((${BEST[$variant]:-999999} > NS)) && BEST[$variant]=$NS
		((${LEAST[$variant]:-999999} > INSTRUCTIONS)) && LEAST[$variant]=$INSTRUCTIONS
		end
	done
done
echo "$COUNT SYNs of $SOURCES source(s), best of $ROUNDS rounds: what the receiving core"
echo "spends on each, and that against the bare drop at the same hook"
for variant in "${VARIANTS[@]}"; do
	hook=bare
	[[ $variant == *ingress ]] && hook='bare, ingress'
	awk -v variant="$variant" -v ns="${BEST[$variant]}" -v base="${BEST[$hook]}" \
		-v instr="${LEAST[$variant]}" -v least="${LEAST[$hook]}" 'BEGIN {
			printf "%-18s %6d ns %5.2f x  %6d instr. %5.2f x\n", variant, ns, ns / base,
				instr, instr / least }'
done
