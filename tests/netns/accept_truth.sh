#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# While something is wrong the host's own queues are looked at, and told; while conntrack tells
# nothing any more, they are what puts a flooded service under its budget, and what takes it out.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      forged: {half-open: 300, source: total, action: rate-limit, to: 20/1s, expire: 4s}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 || tap_bail 'no server'
# What a flood leaves behind is gone soon, here as well as in conntrack.
on "$GUARD" sysctl -qw net.ipv4.tcp_synack_retries=1 net.ipv4.tcp_syncookies=1 \
	net.netfilter.nf_conntrack_tcp_timeout_syn_sent=5 net.netfilter.nf_conntrack_tcp_timeout_syn_recv=5
guard_start --event-buffer 16 || tap_bail 'no daemon'

# flood_begin NAME FIRST PORT OPTION…
declare -A FLOODS
flood_begin() {
	ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from "$2" --sources 16000 \
		--to "10.77.0.2:$3" --count 1000000000 "${@:4}" >/dev/null 2>&1 &
	FLOODS[$1]=$!
	disown
}

flood_end() {
	kill "${FLOODS[$1]}"
	wait_until "$LAB_PATIENCE" is_gone "${FLOODS[$1]}"
}

mode() {
	tg_true 'any(.bans[]; .source == "total" and .limit == "forged" and .enforced)' list
}

over() {
	! mode
}

# Nobody looks without need.
check 'at peace nothing is looked at' wait_until "$LAB_PATIENCE" tg_true \
	'(.truth.looking | not) and .health == "ok"' status
# Another service is flooded, so that conntrack is asked for nothing.
flood_begin other 10.79.0.1 81
check 'conntrack is asked for less' wait_until "$LAB_PATIENCE" tg_true '.feed.step == 3' status
check 'and the sockets are looked at' wait_until "$LAB_PATIENCE" tg_true \
	'.truth.looking and .truth.requests > 300 and .truth.cookies_per_second > 0' status
check 'for people, too' eval 'tg status | grep "^sockets .*handshakes wait" >/dev/null'
check 'what others wait for is not the service'"'"'s' over
flood_begin web 10.79.128.1 80 --rate 20000
check 'its own puts it under its budget' wait_until "$LAB_PATIENCE" mode
check 'by what the sockets say' tg_true '.bans[0].measured > 300 and .bans[0].measured < 100000' list
check 'and the budget holds' wait_until "$LAB_PATIENCE" tg_true '.bans[0].packets > 1000' list
flood_end web
check 'after the flood it is over, whatever conntrack tells' wait_until 60 over
check 'still it was asked for less' tg_true '.feed.step > 0' status
flood_end other
check 'then all is told again' wait_until 90 tg_true '.feed.step == 0 and .health == "ok"' status
check 'and nothing is looked at' wait_until "$LAB_PATIENCE" tg_true \
	'(.truth.looking | not) and .truth.requests == 0 and .truth.looks > 3 and .truth.looks_failed == 0' status
tap_note "$(tg_value '"\(.truth.looks) looks, the last took \(.truth.last_us) us"' status)"
check 'with counts as in the kernel' agrees "$LAB_PATIENCE"
tap_done
