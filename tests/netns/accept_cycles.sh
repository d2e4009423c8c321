#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Twenty floods, one after the other, each as wide and as odd as captured ones: twenty times the
# services are put into their modes, by SYNPROXY and by a budget, and come out again, while open
# connections transfer data and none of them is lost. Nobody is banned for a flood like that, and
# clients are served in it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
CYCLES=20

guard_policy <<'EOP'
version: 1
mode: enforce
ladders:
  usual:
    steps: [{action: rate-limit, to: 5/1s, expire: 2m}, {action: drop, expire: 10m}]
    forget-after: 1d
policies:
  answered:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 300, ladder: usual}
      half-open-per-ip: {half-open: 64, action: rate-limit, to: 2/1s, expire: 5m}
      new-per-ip: {new: 200/10s, burst: 100, ladder: usual}
      failed-per-ip: {failed: 60/1m, action: rate-limit, to: 1/1s, expire: 10m}
      flood: {half-open: 2000, source: total, action: synproxy, expire: 1s}
  budgeted:
    match: {ports: [81]}
    limits:
      open-per-ip: {concurrent: 300, ladder: usual}
      half-open-per-ip: {half-open: 64, action: rate-limit, to: 2/1s, expire: 5m}
      new-per-ip: {new: 200/10s, burst: 100, ladder: usual}
      failed-per-ip: {failed: 60/1m, action: rate-limit, to: 1/1s, expire: 10m}
      flood: {half-open: 2000, source: total, action: rate-limit, to: 500/1s, expire: 1s}
EOP
lab_pair || tap_bail 'no lab'
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# up: how many of the modes are in force.
up() {
	[[ $(tg_value '[.bans[] | select(.source == "total" and .enforced)] | length' list) == "$1" ]]
}

opened() {
	on "$GUARD" ss -Htn state established "src 10.77.0.2 and dst 10.78.1.0/24" | wc -l
}

# forge PORT
forge() {
	ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from 10.80.0.1 --sources 60000 \
		--stride 32 --to "10.77.0.2:$1" --count 100000000 --rate "$2" --odd >/dev/null 2>&1 &
	FLOODS+=($!)
	disown
}

for port in 80 81; do
	conns_start "open$port" --from 10.78.1.1 --sources 25 --stride 32 --to "10.77.0.2:$port" --count 25 --talk 50 --quiet
	conns_done "open$port"
	OPEN+=("$CONNS_PID")
done
clients_start known80 10.77.0.2:80 10.78.2.1 10 32
clients_start known81 10.77.0.2:81 10.78.2.101 10 32
clients_report || tap_bail 'the clients do not answer'

lost=0 failed=0 served=0 slowest=0 strangers=0
for ((cycle = 0; cycle < CYCLES; cycle++)); do
	FLOODS=()
	since=$(lab_now_ns)
	forge 80 15000
	forge 81 15000
	wait_until "$LAB_PATIENCE" up 2 || tap_bail "cycle $cycle: not both are in the mode"
	took=$((($(lab_now_ns) - since) / 1000000))
	((took > slowest)) && slowest=$took
	connects "10.78.4.$((cycle + 1))" 10.77.0.2:80 4000 && ((strangers++))
	kill "${FLOODS[@]}"
	for flood in "${FLOODS[@]}"; do
		wait_until "$LAB_PATIENCE" is_gone "$flood"
	done
	wait_until "$LAB_PATIENCE" up 0 || tap_bail "cycle $cycle: they do not end"
	[[ $(opened) == 50 ]] || ((lost++))
	clients_report || tap_bail 'the clients do not answer'
	((failed += CLIENTS_FAILED, served += CLIENTS_OK))
done
tap_note "cycles: $cycle; slowest entry $slowest ms with the question; known clients: $served ok, $failed failed"
check 'in none of them an open connection was lost' equal "$lost" 0
check 'they all still are' equal "$(opened)" 50
check 'known clients were served all the while' test "$served" -gt $((CYCLES * 10))
check 'all of them' equal "$failed" 0
check 'and those whom nobody knows, by who answers for the service' equal "$strangers" "$CYCLES"
check 'nobody but the services was ever held back' equal \
	"$(tg events --count 1000 --json | jq -r 'select(.event == "ban" or .event == "over") | .source' | sort -u)" total
for pid in "${OPEN[@]}"; do
	conns_stop "$pid"
done
for port in 80 81; do
	line=$(grep TALKED "$LAB_DIR/conns.open$port")
	tap_note "open connections to $port: $line"
	said=$(field said <<<"$line") heard=$(field heard <<<"$line")
	# What was said last is still under way.
	check "they transferred data all the while, to port $port" test "$heard" -gt 100000 -a $((said - heard)) -lt $((25 * 12 * 3))
done
tap_done
