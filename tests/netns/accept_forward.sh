#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is forwarded is guarded too, and the client is the original source, whatever NAT does
# behind the guard; what the guard opens itself counts against nobody. What is passed on has no
# socket here that could prove it, so that a drop stays the rate-limit that stands in for it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
policies:
  behind:
    match: {ports: [8080]}
    limits:
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
  plain:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
EOF
lab_router || tap_bail 'no lab'
lab_serve "$SERVER" 10.88.0.2:80 '[fd88::2]:80' || tap_bail 'no server'
lab_serve "$CLIENT" 10.77.0.1:80 10.78.5.5:80 || tap_bail 'no server of others'
guard_start || tap_bail 'no daemon'
clients_start v4 10.77.0.2:8080 10.78.1.1 20 32
clients_start v6 '[fd77::2]:8080' fd78:0:0:1::1 20 64

# greedy NAME ADDRESS SOURCE ENDPOINT POLICY
greedy() {
	conns_start "$1" --from "$2" --to "$4" --count 200 --rate 2000 --timeout 500 --quiet
	conns_done "$1" || tap_bail 'the connects do not end'
	check "$1: the client is banned" is_banned "$3"
	# The sockets are on another host, and may be anybody's: no proof, no drop.
	check "$1: by a rate-limit, because no socket here proves it" equal \
		"$(tg_value ".bans[] | select(.source == \"$3\") | .action" list)" rate-limit
	check "$1: by the policy for the port it used" \
		equal "$(tg_value ".bans[] | select(.source == \"$3\") | .policy" list)" "$5"
	check "$1: held to a rate, without a witness" equal rate-limit-true \
		"$(tg_value ".bans[] | select(.source == \"$3\") | \"\(.action)-\(.unproven)\"" list)"
	check "$1: and new connections fail" test "$(field failed <"$LAB_DIR/conns.$1")" -gt 50
	kill "$CONNS_PID"
}

greedy dnat4 10.78.200.1 10.78.200.1/32 10.77.0.2:8080 behind
greedy dnat6 fd78:0:0:200::1 fd78:0:0:200::/64 '[fd77::2]:8080' behind
greedy forwarded4 10.78.200.2 10.78.200.2/32 10.88.0.2:80 plain
greedy forwarded6 fd78:0:0:202::1 fd78:0:0:202::/64 '[fd88::2]:80' plain
clients_report || tap_bail 'the clients do not answer'
check 'others are served through the guard' test "$CLIENTS_FAILED" -eq 0 -a "$CLIENTS_OK" -gt 20
check 'nobody else is banned' equal "$(tg_value '.bans | length' list)" 4

# The guard itself opens 200 connections to a host, and one behind it opens 200 to the outside.
: >"$LAB_DIR/own"
ip netns exec "$GUARD" "$LAB_TOOLS/lab-conns" --to 10.78.5.5:80 --count 200 --quiet >"$LAB_DIR/own" 2>&1 &
disown
wait_until 10 grep -q DONE "$LAB_DIR/own"
check 'the guard may open 200 itself' equal "$(field connected <"$LAB_DIR/own")" 200

states_told() {
	tg_true '.states.established >= 200' status
}

wait_until 2 states_told
check 'and nobody is banned for them' equal "$(tg_value '.bans | length' list)" 4
check 'or counted' tg_true 'all(.sources[]; .source != "10.77.0.2/32" and .source != "10.78.5.5/32")' top --count 0
tap_done
