#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a dropped packet costs the guarded host: CPU time of the kernel thread that receives, for
# each packet of a flood whose sources are all banned, against a bare nft set of the same bans at
# the same hook, against conntrack with nobody watching, and against no netfilter at all. Every variant
# is a host of its own, so that they can take turns. Then what other clients get meanwhile.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_drop.sh [TURNS [BANS…]]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
LAB_TAG=bench-drop
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
TURNS=${1:-5}
SIZES=("${@:2}")
((${#SIZES[@]})) || SIZES=(1 100000 1000000)
PACKETS=1500000
RX_CPU=1 TX_CPU=0

declare -A NS MAC DEV NAPI BEST COUNT
counter=()

die() {
	echo "bench_drop: $*" >&2
	exit 1
}

# A guarded host with a thread of its own that receives: veth N of the client leads to it.
host() {
	local name=$1 n=$2 ns=$LAB_TAG-$1

	NS[$name]=$ns DEV[$name]=eth$n
	lab_namespace "$ns" && lab_link "$CLIENT" "eth$n" "$ns" eth0 || return 1
	on "$CLIENT" ethtool -K "eth$n" tso off gso off >/dev/null
	# A veth receives in a thread only with GRO, and only what its peer did not prepare.
	on "$ns" ethtool -K eth0 gro on >/dev/null
	on "$ns" ip link set eth0 down
	on "$ns" ip link set eth0 address "02:00:00:00:00:$(printf %02x "$n")" up
	on "$ns" ip addr add "10.77.$n.2/24" dev eth0
	on "$CLIENT" ip addr add "10.77.$n.1/24" dev "eth$n"
	on "$ns" ip route add default via "10.77.$n.1"
	on "$ns" sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096
	MAC[$name]=02:00:00:00:00:$(printf %02x "$n")
	on "$CLIENT" ip neigh replace "10.77.$n.2" dev "eth$n" lladdr "${MAC[$name]}"
	on "$ns" ip neigh replace "10.77.$n.1" dev eth0 \
		lladdr "$(on "$CLIENT" cat "/sys/class/net/eth$n/address")"
	on "$ns" bash -c 'echo 1 >/sys/class/net/eth0/threaded' || return 1
	NAPI[$name]=$(newest_napi)
	taskset -pc "$RX_CPU" "${NAPI[$name]}" >/dev/null
	on "$CLIENT" nft add chain netdev lab_sink "eth$n" \
		"{ type filter hook ingress device eth$n priority 0; }"
	on "$CLIENT" nft add rule netdev lab_sink "eth$n" ip daddr 100.64.0.0/10 drop
	lab_serve "$ns" "10.77.$n.2:80"
}

newest_napi() {
	ps -eo pid,comm --sort=start_time | awk '$2 ~ /^napi\/eth0/ && $1 > pid { pid = $1 } END { print pid }'
}

# bare NAME BANS HOOK [WITH]: one set, one rule, of nothing but what has to be.
bare() {
	on "${NS[$1]}" nft -f <(
		echo 'table inet bare {'
		echo "set s { type ipv4_addr; flags timeout; timeout 1h; size 2097152;${4:+$4;}"
		addresses "$2" "${4:-}"
		echo '}'
		echo "chain c { type filter hook $3 priority -300; tcp dport 80 ip saddr @s drop; }"
		echo '}'
	)
}

addresses() {
	awk -v count="$1" -v with="$2" 'BEGIN {
		printf "elements = { "
		for (i = 0; i < count; i++)
			printf "100.%d.%d.%d%s,\n", 64 + int(i / 65536), i / 256 % 256, i % 256, with
		print "}" }'
}

# guard NAME BANS WORDS: the daemon on that host, its bans out of the state directory.
guard() {
	local LAB_DIR=$LAB_DIR/$1 GUARD=${NS[$1]}

	mkdir -p "$LAB_DIR/state"
	guard_policy <<-END
		version: 1
		mode: enforce
		$3
		defaults: {max-bans: 1048576}
		policies:
		  web:
		    match: {ports: [80]}
		    limits:
		      open: {concurrent: 50, action: drop, expire: 10m}
	END
	"$LAB_TOOLS/lab-state" "$2" >"$LAB_DIR/state/bans"
	LAB_PATIENCE=60 guard_start || return 1
	wait_until 60 all_enforced "$2"
}

all_enforced() {
	tg_true ".bans.active == $1 and .bans.pending == 0" status || tg_true ".bans.active == $1" status
}

received() {
	on "${NS[$1]}" cat /sys/class/net/eth0/statistics/rx_packets
}

busy_ns() {
	cut -d' ' -f1 "/proc/${NAPI[$1]}/schedstat"
}

# flood_at NAME SOURCES PACKETS: as fast as one core can.
flood_at() {
	"${counter[@]}" ip netns exec "$CLIENT" taskset -c "$TX_CPU" "$LAB_TOOLS/lab-flood" --dev "${DEV[$1]}" --mac "${MAC[$1]}" \
		--to "10.77.${DEV[$1]#eth}.2:80" --from 100.64.0.0 --sources "$2" --count "$3" "${@:4}" >/dev/null
}

# Of NAME: ns, and instructions of the kernel where perf can count them, for each packet received.
turn() {
	local name=$1 sources=$2 packets=$3 ns received instructions=0 counter=()

	command -v perf >/dev/null &&
		counter=(perf stat '-x,' -o "$LAB_DIR/perf" -e instructions:k -t "${NAPI[$name]}" --)
	ns=$(busy_ns "$name") received=$(received "$name")
	flood_at "$name" "$sources" "$packets"
	sleep 0.05
	ns=$(($(busy_ns "$name") - ns)) received=$(($(received "$name") - received))
	((${#counter[@]})) && instructions=$(sed -n 's/^\([0-9]*\),.*instructions.*/\1/p' "$LAB_DIR/perf")
	((received > packets / 20)) || die "$name received $received of $packets"
	keep_best BEST "$name" "$ns" "$received"
	keep_best COUNT "$name" "${instructions:-0}" "$received"
}

# keep_best ARRAY NAME SUM PACKETS
keep_best() {
	local -n array=$1

	array[$2]=$(awk -v best="${array[$2]:-1e9}" -v sum="$3" -v packets="$4" \
		'BEGIN { each = sum / packets; printf "%.1f\n", each < best ? each : best }')
}

segments() {
	on "${NS[$1]}" awk '/^Tcp: [0-9]/ { print $11 }' /proc/net/snmp
}

# row NAME AGAINST…: its cost, what the machine carries, and that as a multiple of the others.
row() {
	awk -v name="$1" -v ns="${BEST[$1]}" -v count="${COUNT[$1]}" -v against="$(for o in "${@:2}"; do echo "$o ${BEST[$o]}"; done)" '
		BEGIN {
			printf "  %-22s %6.0f ns %6.0f instr. %5.2f Mpps", name, ns, count, 1e3 / ns
			fields = split(against, field, /[ \n]/)
			for (i = 1; i < fields; i += 2)
				printf "  %5.2f x %s", field[i + 1] / ns, field[i]
			print ""
		}'
}

clients_line() {
	sleep "$2"
	clients_report || die 'the clients say nothing'
	printf '  %-30s %6d/s  p50 %6d us  p95 %6d us  failed %d\n' "$1" $((CLIENTS_OK / $2)) \
		"$(grep REPORT "$LAB_DIR/clients.$3" | field p50_us)" "$CLIENTS_P95_US" "$CLIENTS_FAILED"
}

# others NAME: what eight clients get before, while and after banned sources flood.
others() {
	local name=$1 flooder

	# No process of the host gets in the way of a network card's interrupt, nor here of what stands for it.
	chrt -f -p 1 "${NAPI[$name]}"
	LAB_CLIENTS=()
	on "$CLIENT" ip route replace local 10.78.0.0/16 dev lo
	LAB_PAUSE=1 clients_start "$name" "10.77.${DEV[$name]#eth}.2:80" 10.78.0.1 8 32
	clients_report
	clients_line "$name, before" 3 "$name"
	ip netns exec "$CLIENT" taskset -c "$TX_CPU" "$LAB_TOOLS/lab-flood" --dev "${DEV[$name]}" \
		--mac "${MAC[$name]}" --to "10.77.${DEV[$name]#eth}.2:80" --from 100.64.0.0 --sources "$2" \
		--count 4000000000 --rate "$3" >/dev/null &
	flooder=$!
	sleep 0.5
	clients_report
	clients_line "during $3 SYN/s" 4 "$name"
	kill "$flooder"
	wait "$flooder"
	sleep 0.5
	clients_report
	clients_line 'after' 3 "$name"
	kill "${LAB_CLIENTS[0]##*:}"
}

lab_namespace "$CLIENT" || die 'no namespace'
on "$CLIENT" nft add table netdev lab_sink
n=0
for bans in "${SIZES[@]}"; do
	for name in bare bare-counter guard bare-ingress guard-ingress; do
		host "$name-$bans" $((++n)) || die "no host $name-$bans"
	done
	bare "bare-$bans" "$bans" prerouting || die 'no bare set'
	bare "bare-counter-$bans" "$bans" prerouting ' counter' || die 'no bare set'
	bare "bare-ingress-$bans" "$bans" 'ingress device eth0' || die 'no bare set'
	guard "guard-$bans" "$bans" '' || die 'no daemon'
	guard "guard-ingress-$bans" "$bans" "$(printf 'hook: ingress\ninterfaces: [eth0]')" || die 'no daemon'
done
host nothing $((++n)) || die 'no host'
host conntrack $((++n)) || die 'no host'
on "${NS[conntrack]}" nft -f - <<<'table inet tracked { chain c { type filter hook prerouting priority -150; ct state new; }; }'

for bans in "${SIZES[@]}"; do
	names=({bare,bare-counter,guard,bare-ingress,guard-ingress}-"$bans")
	for name in "${names[@]}"; do
		before=$(segments "$name")
		flood_at "$name" "$bans" $((bans > 10000 ? bans : 10000))
		sleep 0.1
		(($(segments "$name") - before < 10)) || die "$name lets the flood through"
	done
	for ((i = 0; i < TURNS; i++)); do
		for name in "${names[@]}"; do
			turn "$name" "$bans" "$PACKETS"
		done
	done
done
for ((i = 0; i < TURNS; i++)); do
	turn nothing 1000000 $((PACKETS / 5))
	turn conntrack 1000000 $((PACKETS / 5))
done

echo "a banned flooder's packet, CPU time of the receiving core, best of $TURNS turns"
for bans in "${SIZES[@]}"; do
	echo "$bans bans"
	row "bare-$bans"
	row "bare-counter-$bans" "bare-$bans"
	row "guard-$bans" "bare-$bans" "bare-counter-$bans" nothing conntrack
	row "bare-ingress-$bans"
	row "guard-ingress-$bans" "bare-ingress-$bans" nothing conntrack
done
echo 'nobody drops it'
row nothing
row conntrack nothing

echo 'eight clients, one exchange a millisecond each'
others "guard-${SIZES[0]}" "${SIZES[0]}" 200000
others conntrack "${SIZES[0]}" 200000
