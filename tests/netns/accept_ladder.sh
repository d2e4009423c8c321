#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A ladder on the real kernel: the first offence costs new connections, the second, proven by
# sockets, everything; who goes on knocking stays out, who is quiet is let in on time.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
ladders:
  short:
    steps:
      - {action: rate-limit, to: 5/1s, expire: 2s}
      - {action: drop, expire: 3s}
    forget-after: 1h
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, ladder: short}
EOP
lab_pair || tap_bail 'no lab'
LAB_IDLE=2 lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# held SOURCE ACTION OFFENCE
held() {
	tg_true "any(.bans[]; .source == \"$1\" and .enforced and .action == \"$2\" and .offence == $3)" list
}

# offend NAME ADDRESS
offend() {
	conns_start "$1" --from "$2" --to 10.77.0.2:80 --count 40 --rate 500 --timeout 500 --quiet --talk 200
	conns_done "$1"
}

offend once 10.78.1.1
check 'the first offence: a rate-limit' wait_until 5 held 10.78.1.1/32 rate-limit 1
conns_stop "$CONNS_PID"
check 'a quiet source is let in on time' wait_until 6 is_not_banned 10.78.1.1/32
check 'by the kernel, too' connects 10.78.1.1 10.77.0.2:80
# 40 at once meet no rate-limit now.
offend twice 10.78.1.1
check 'the second offence: a drop, proven by sockets' wait_until 5 held 10.78.1.1/32 drop 2
check 'the sockets were asked' tg_true '.engine.witness_proven >= 1' status
check 'it is held by the kernel' kernel_holds 10.78.1.1
check 'and lets nothing in' eval '! connects 10.78.1.1 10.77.0.2:80 300'

# A client that does not give up: every packet of it meets the ban.
conns_stop "$CONNS_PID"
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --from 10.78.1.1 --to 10.77.0.2:80 --dev eth0 \
	--mac "$LAB_MAC" --count 100000 --rate 100 >/dev/null 2>&1 &
knocking=$!
disown
check 'who goes on knocking stays banned' wait_until 10 tg_true '.engine.insisting >= 1' status
# What knocks may be forged, and so it prolongs no drop.
check 'but by a rate-limit, until sockets prove more' wait_until 2 held 10.78.1.1/32 rate-limit 2
check 'and no drop is left' eval '! held 10.78.1.1/32 drop 2'
kill "$knocking"
check 'and is let in when it is quiet' wait_until 10 is_not_banned 10.78.1.1/32
check 'by the kernel, too' wait_until 2 connects 10.78.1.1 10.77.0.2:80

# Stays where it is, and talks: its first ban climbs by itself.
offend stays 10.78.1.2
check 'another begins at the first step' wait_until 5 held 10.78.1.2/32 rate-limit 1
check 'and climbs while it stays over its limit' wait_until 8 held 10.78.1.2/32 drop 2
check 'nobody else is banned' equal "$(tg_value '[.bans[].source] | unique | join(" ")' list)" 10.78.1.2/32
tap_done
