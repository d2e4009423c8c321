#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tcpguard kill` ends what one source has, here and on a host behind, and touches nobody else:
# 10,000 connections at once, IPv4 and IPv6, by port; what the guard opened itself only when asked.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80, 81, 8080]}
    limits:
      open-per-ip: {concurrent: 1000000, action: drop, expire: 10m}
EOF
lab_router || tap_bail 'no lab'
# Backlogs hold many connections without a process that reads them.
LAB_NO_ACCEPT=1 lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:82 10.77.0.2:83 10.77.0.2:84 ||
	tap_bail 'no server'
lab_serve "$GUARD" '[fd77::2]:80' 10.77.0.2:81 || tap_bail 'no server'
lab_serve "$SERVER" 10.88.0.2:80 || tap_bail 'no server behind'
lab_serve "$CLIENT" 10.78.9.9:80 || tap_bail 'no server of others'
guard_start || tap_bail 'no daemon'

# sockets SOURCE: of the guard, with this peer, by the kernel's own word.
sockets() {
	local address=$1

	[[ $1 == *:* ]] && address=[$1]
	on "$GUARD" ss -Htn state connected "dst $address" | wc -l
}

# entries SOURCE: of conntrack, that this source opened.
entries() {
	local family=ipv4

	[[ $1 == *:* ]] && family=ipv6
	on "$GUARD" conntrack -L -f "$family" -p tcp -s "$1" 2>/dev/null | wc -l
}

# opens NAME SOURCE ENDPOINT COUNT
opens() {
	conns_start "$1" --from "$2" --to "$3" --count "$4" --timeout 2000 --quiet
	conns_done "$1" || tap_bail "$1: the connects do not end"
}

opens many80 10.78.1.1 10.77.0.2:80 4000
opens many82 10.78.1.1 10.77.0.2:82 4000
opens many83 10.78.1.1 10.77.0.2:83 2000
opens other4 10.78.1.2 10.77.0.2:81 100
opens port81 10.78.1.3 10.77.0.2:81 50
opens port84 10.78.1.3 10.77.0.2:84 50
opens many6 fd78:0:0:1::1 '[fd77::2]:80' 100
opens other6 fd78:0:0:2::1 '[fd77::2]:80' 100
opens behind 10.78.1.4 10.77.0.2:8080 50
: >"$LAB_DIR/own"
ip netns exec "$GUARD" "$LAB_TOOLS/lab-conns" --to 10.78.9.9:80 --count 20 --quiet >"$LAB_DIR/own" 2>&1 &
disown
wait_until "$LAB_PATIENCE" grep -q DONE "$LAB_DIR/own"

check '10,000 connections of one source are there' equal "$(sockets 10.78.1.1)" 10000
check 'and tracked' equal "$(entries 10.78.1.1)" 10000
before=$(lab_now_ns)
said=$(tg kill 10.78.1.1)
after=$(lab_now_ns)
echo "# $said, in $(((after - before) / 1000000)) ms"
check 'kill says so' equal "$said" '10.78.1.1/32: killed 10000 sockets and 10000 tracked connections'
check 'no socket is left' equal "$(sockets 10.78.1.1)" 0
check 'no entry is left' equal "$(entries 10.78.1.1)" 0
check 'the other source keeps its sockets' equal "$(sockets 10.78.1.2)" 100
check 'and its entries' equal "$(entries 10.78.1.2)" 100
# Sanitizers and other tests run beside; the line above tells what it takes.
check 'within seconds' test $(((after - before) / 1000000)) -lt 5000
check 'nothing to kill is success' equal "$(tg kill 10.78.1.1)" '10.78.1.1/32: nothing to kill'

check 'by port' equal "$(tg kill 10.78.1.3 --port 84)" \
	'10.78.1.3/32: killed 50 sockets and 50 tracked connections'
check 'the other port goes on' equal "$(sockets 10.78.1.3)" 50

check 'a network of IPv6' equal "$(tg kill fd78:0:0:1::/64)" \
	'fd78:0:0:1::/64: killed 100 sockets and 100 tracked connections'
check 'its neighbour goes on' equal "$(sockets fd78:0:0:2::1) $(entries fd78:0:0:2::1)" '100 100'
check 'one address of IPv6' equal "$(tg kill fd78:0:0:2::1)" \
	'fd78:0:0:2::1/128: killed 100 sockets and 100 tracked connections'

check 'a host behind: tracked only' equal "$(tg kill 10.78.1.4)" \
	'10.78.1.4/32: killed 0 sockets and 50 tracked connections'
check 'what this host opened is left alone' equal "$(tg kill 10.78.9.9) $(sockets 10.78.9.9)" \
	'10.78.9.9/32: nothing to kill 20'
check 'but for everything' equal "$(tg kill 10.78.9.9 --everything) $(sockets 10.78.9.9)" \
	'10.78.9.9/32: killed 20 sockets and 20 tracked connections 0'

refused() {
	tg kill "$@" 2>"$LAB_DIR/refusal"
	(($? == 1))
}

check 'the guard itself is protected' refused 10.77.0.2
check 'and it says why' grep -q 'not without force: 10.77.0.2/32 is an address of this host' \
	"$LAB_DIR/refusal"
check 'JSON' tg_true '.schema == 1 and .source == "10.78.1.2/32" and .sockets == 100 and .flows == 100' \
	kill 10.78.1.2
check 'status counts' tg_true '.kill.sockets >= 10370 and .kill.passes_failed == 0' status
tap_done
