#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One source opens 500 connections where 100 are allowed: it is banned at once, over IPv4 and
# IPv6, and 50 other sources of each family notice nothing.
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
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 100, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
LAB_IDLE=3 lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
clients_start v4 10.77.0.2:80 10.78.1.1 50 32
clients_start v6 '[fd77::2]:80' fd78:0:0:1::1 50 64

within_a_second() {
	echo "# $1: banned $2 ms after connection 101"
	[[ -n $2 ]] && at_most "${2%.*}" 999
}

nothing_open_from() {
	local count

	count=$(on "$GUARD" conntrack -L -s "$1" --state ESTABLISHED 2>/dev/null | wc -l)
	((count == 0))
}

# greedy NAME ADDRESS SOURCE ENDPOINT OPTION…
greedy() {
	local name=$1 address=$2 source=$3 endpoint=$4 ban

	shift 4
	conns_start "$name" --from "$address" --to "$endpoint" --count 500 --timeout 1000 "$@"
	conns_done "$name" || tap_bail 'the connects do not end'
	check "$name: banned within a second" within_a_second "$name" "$(conns_delay "$name" 100)"
	check "$name: not before connection 101" test "$(grep -c ^connected "$LAB_DIR/conns.$name")" -ge 101
	check "$name: listed" wait_until 5 is_dropped "$source"
	check "$name: in the kernel, with an end" kernel_holds "${source%/*}"
	ban=$(tg_value ".bans[] | select(.source == \"$source\")
		| [.action, .policy, .limit, .measure, .threshold, .origin, .enforced, .measured > 100] | join(\" \")" list)
	check "$name: says why" equal "$ban" 'drop web open-per-ip concurrent 100 auto true true'
	check "$name: counts what it drops" tg_true "any(.bans[]; .source == \"$source\" and .packets > 0)" list
	kill "$CONNS_PID"
}

greedy paced4 10.78.200.1 10.78.200.1/32 10.77.0.2:80 --rate 2000
greedy paced6 fd78:0:0:200::1 fd78:0:0:200::/64 '[fd77::2]:80' --rate 2000
# So many that on a busy machine, too, some are left to be refused when the ban comes.
greedy burst4 10.78.200.2 10.78.200.2/32 10.77.0.2:80 --rate 20000 --count 2000
greedy burst6 fd78:0:0:201::1 fd78:0:0:201::/64 '[fd77::2]:80' --rate 20000 --count 2000

clients_report || tap_bail 'the clients do not answer'
tap_note "100 other sources: $CLIENTS_OK exchanges, $CLIENTS_FAILED failed, p95 $CLIENTS_P95_US us"
check 'other sources: exchanges went on' test "$CLIENTS_OK" -gt 100
check 'other sources: not one failed' equal "$CLIENTS_FAILED" 0
check 'only the four are banned' equal "$(tg_value '.bans | length' list)" 4
check 'no event was lost' equal "$(tg_value .events.lost status)" 0

# The FINs of a banned client are dropped with everything else it sends, so its connections end
# for the guard when the server gives them up; before that it would be over its limit still.
check 'the server gives the idle connections up' wait_until 20 nothing_open_from 10.78.200.1
check 'a ban is lifted by hand' quietly tg unban 10.78.200.1
check 'and is gone from the kernel' wait_until 2 eval '! kernel_holds 10.78.200.1'
check 'and the source is let in again' connects 10.78.200.1 10.77.0.2:80
check 'the other families and sources stay banned' is_banned fd78:0:0:200::/64
check 'another is not' eval '! connects 10.78.200.2 10.77.0.2:80'

# On the guard's own link: its /64 holds the guard, so that a neighbour answers for itself alone.
lab_address "$CLIENT" eth0 fd77::66/64
# Answers to the first hundreds would else wait for its link address, and most of them be dropped.
on "$CLIENT" ping -c1 -W2 -I fd77::66 fd77::2 >/dev/null 2>&1
greedy neighbour fd77::66 fd77::66/128 '[fd77::2]:80' --rate 2000
check 'another neighbour gets in' connects fd77::1 '[fd77::2]:80'
tap_done
