#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How long a source goes on after it crossed a threshold: from the moment its connection N + 1 was
# established to the first of its SYNs that got no answer, and to the one from which on none got one.
# With nobody else about, under a flood of forged SYNs from others, and with a script that asks
# `ss` every five seconds in the place of the daemon. Every 0.1 ms a SYN is sent, idle; that is
# the resolution.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_react.sh [BANS]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
LAB_TAG=bench-react
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
BANS=${1:-200}
LIMIT=20

guard_policy <<EOT
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open: {concurrent: $LIMIT, action: drop, expire: 10m}
brakes: {max-bans-per-minute: 100000, max-share-of-sources: 100%}
EOT

die() {
	echo "bench_react: $*" >&2
	exit 1
}

# delays FILE: "FIRST LAST" in ms: to the first SYN without an answer after the crossing, and to
# the one after which there was no answer any more; nothing if some were answered to the end.
delays() {
	sort -k3n "$1" | awk -v nth=$((LIMIT + 1)) '
		$1 == "connected" && ++count == nth { from = $3 }
		$1 == "connected" { last = $3 }
		$1 == "failed" && from && $3 >= from { began[++failures] = $3 }
		END {
			for (i = 1; i <= failures; i++)
				if (began[i] > last)
					break
			if (from && i <= failures)
				printf "%.2f %.2f\n", (began[1] - from) / 1e6, (began[i] - from) / 1e6
		}'
}

# one ADDRESS OPTION…: a source that crosses the threshold; its delays.
one() {
	on "$CLIENT" "$LAB_TOOLS/lab-conns" --from "$1" --to 10.77.0.2:80 --hold 0 --rst "${@:2}" \
		>"$LAB_DIR/one.$1" 2>&1
	delays "$LAB_DIR/one.$1"
	rm "$LAB_DIR/one.$1"
}

# summary NAME FILE RUNS: a run that was answered to its end counts as longer than all others.
summary() {
	local column title

	for column in 1 2; do
		title='first SYN dropped'
		((column == 2)) && title='and all from then'
		cut -d' ' -f$column "$2" | sort -n | awk -v name="$1" -v title="$title" -v runs="$3" '
			{ at[NR] = $1 }
			END {
				median = at[int((runs + 1) / 2)]
				p99 = at[int(runs * 0.99 + 0.999)]
				printf "%-20s %-18s %d of %d runs  median %7.2f ms  p99 %7.2f ms  max %7.2f ms\n",
					name, title, NR, runs, median, p99, at[NR]
			}'
	done
}

lab_pair || die 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || die 'no server'
guard_start || die 'no daemon'
renice -n -10 -p "$GUARD_PID" >/dev/null # as tcpguard.service has it

for ((i = 1; i <= BANS; i++)); do
	one "10.78.10.$i" --count 800 --rate 10000 --timeout 60
done >"$LAB_DIR/idle"
summary 'daemon, idle' "$LAB_DIR/idle" "$BANS"

# Without a function around it, so that $! is the flood itself.
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --to 10.77.0.2:80 \
	--from 10.79.0.1 --sources 60000 --rate 100000 --count 4000000000 >"$LAB_DIR/flood" &
flooder=$!
before=$(on "$GUARD" cat /sys/class/net/eth0/statistics/rx_packets)
began=$(lab_now_ns)
sleep 1
for ((i = 1; i <= BANS; i++)); do
	one "10.78.20.$i" --count 500 --rate 2500 --timeout 200
done >"$LAB_DIR/flooded"
after=$(on "$GUARD" cat /sys/class/net/eth0/statistics/rx_packets)
took=$(($(lab_now_ns) - began))
kill "$flooder"
summary 'daemon, forged flood' "$LAB_DIR/flooded" "$BANS"
echo "  the flood: $(((after - before) * 1000000000 / took)) packets/s received"
guard_stop
on "$GUARD" nft delete table inet tcpguard 2>/dev/null

# The script everybody has written once.
on "$GUARD" nft -f - <<'EOT'
table inet script {
	set s { type ipv4_addr; }
	chain c { type filter hook prerouting priority -300; tcp dport 80 ip saddr @s drop; }
}
EOT
poll() {
	while sleep 5; do
		ss -Htn state established 'sport = :80' | awk '{ print $4 }' | sed 's/:[0-9]*$//; s/^\[::ffff://; s/\]$//' |
			sort | uniq -c | awk -v limit=$LIMIT '$1 > limit { print $2 }' |
			while read -r source; do
				nft add element inet script s "{ $source }"
			done
	done
}
export -f poll
export LIMIT
ip netns exec "$GUARD" bash -c poll >/dev/null 2>&1 &
poller=$!
for ((i = 1; i <= 20; i++)); do
	one "10.78.30.$i" --count 800 --rate 100 --timeout 300 >"$LAB_DIR/polled.$i" &
	runs[i]=$!
	sleep 0.25
done
wait "${runs[@]}"
kill "$poller"
cat "$LAB_DIR"/polled.* >"$LAB_DIR/polled"
summary 'ss every 5 s' "$LAB_DIR/polled" 20
