#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Never against its owner: own addresses, loopback, link-local, gateways, resolvers and the allow
# list cannot be banned, by hand or automatically, and a prefix that covers one is refused.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
allow: [10.78.66.0/24, "fd78:0:0:66::/64"]
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# refused SOURCE WORD: status 1, and the reason names what it is.
refused() {
	local said status

	said=$(tg ban "$1" 2>&1)
	status=$?
	[[ $status == 1 && ${said,,} == *"$2"* ]] && return 0
	echo "# status $status: $said"
	return 1
}

while read -r source word; do
	check "ban $source is refused: $word" refused "$source" "$word"
done <<'EOF'
10.77.0.2 host
fd77::2 host
127.0.0.1 loopback
127.5.6.7 loopback
::1 host
fe80::1 link-local
169.254.7.7 link-local
224.0.0.1 multicast
ff02::1 multicast
10.77.0.1 gateway
fd77::1 gateway
10.77.0.53 resolver
10.78.66.7 allow
fd78:0:0:66::5 allow
10.77.0.0/24 covers
10.78.0.0/16 covers
0.0.0.0/0 covers
::/0 covers
fd77::/64 covers
::ffff:10.77.0.2 host
EOF
check 'nothing is banned' equal "$(tg_value '.bans | length' list)" 0
check 'nothing is in the kernel' equal "$(kernel_bans | wc -l)" 0

# left_alone NAME ADDRESS ENDPOINT: 100 connections over a limit of 20.
left_alone() {
	conns_start "$1" --from "$2" --to "$3" --count 100 --rate 2000 --timeout 1000 --quiet
	conns_done "$1"
	check "$1: all 100 connections over the limit are let through" \
		equal "$(field connected <"$LAB_DIR/conns.$1")" 100
	kill "$CONNS_PID"
}

left_alone gateway 10.77.0.1 10.77.0.2:80
left_alone gateway6 fd77::1 '[fd77::2]:80'
left_alone allowed 10.78.66.7 10.77.0.2:80
left_alone allowed6 fd78:0:0:66::5 '[fd77::2]:80'
on "$GUARD" "$LAB_TOOLS/lab-conns" --to 10.77.0.2:80 --count 100 --quiet --hold 0 >"$LAB_DIR/self"
check 'and the host to itself' equal "$(field connected <"$LAB_DIR/self")" 100
check 'still nothing is banned' equal "$(tg_value '.bans | length' list)" 0

# Followed when they change.
check 'a stranger can be banned' quietly tg ban 10.78.33.1 --for 1h
check 'and is' kernel_holds 10.78.33.1
on "$GUARD" ip addr add 10.78.33.1/32 dev lo
check 'when the address becomes our own, its ban is lifted' wait_until 3 is_not_banned 10.78.33.1/32
check 'in the kernel too' wait_until 3 eval '! kernel_holds 10.78.33.1'
check 'and it cannot be banned again' refused 10.78.33.1 host
on "$GUARD" ip addr del 10.78.33.1/32 dev lo
check 'until it is not ours any more' wait_until 3 quietly tg ban 10.78.33.1 --for 1h
on "$GUARD" ip route replace default via 10.77.0.9
check 'a new gateway is protected' wait_until 3 refused 10.77.0.9 gateway

# A policy that would shorten the allow list by a mistake does not load.
sed -i 's,10.78.66.0/24,10.78.66.0/33,' "$LAB_DIR/etc/tcpguard.yaml"
check 'a bad allow list is refused' eval '! tg reload >/dev/null 2>&1'
check 'and the old one holds' refused 10.78.66.7 allow
tap_done
