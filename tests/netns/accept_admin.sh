#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Who has a live session on an admin port is limited at most, whatever a policy says; by hand only
# with --force. A session that begins while its source is dropped ends the drop. Others get what
# they earn, and a forged session is none.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
admin-ports: [22]
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:22 '[fd77::2]:80' '[fd77::2]:22' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

session() {
	conns_start "session.$1" --from "$1" --to "$2" --quiet
	conns_done "session.$1" || tap_bail 'no session'
}

flood_of() {
	conns_start "flood.$1" --from "$1" --to "$2" --count 200 --timeout 300 --quiet
	conns_done "flood.$1"
}

is_limited() {
	tg_true "any(.bans[]; .source == \"$1\" and .enforced and .action == \"rate-limit\")" list
}

is_followed() {
	tg_true ".admins.addresses >= $1" status
}

session 10.78.1.1 10.77.0.2:22
admin=$CONNS_PID
session fd78:0:0:1::1 '[fd77::2]:22'
check 'the sessions are followed' wait_until "$LAB_PATIENCE" is_followed 2

flood_of 10.78.1.1 10.77.0.2:80
check 'an admin over the limit is held to a rate' wait_until "$LAB_PATIENCE" is_limited 10.78.1.1/32
flood_of fd78:0:0:1::1 '[fd77::2]:80'
check 'so is one of IPv6, with the whole /64' wait_until "$LAB_PATIENCE" is_limited fd78:0:0:1::/64
flood_of 10.78.1.2 10.77.0.2:80
check 'another source is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.1.2/32
check 'the admins are not' tg_true \
	'all(.bans[]; .action != "drop" or (.source != "10.78.1.1/32" and .source != "fd78:0:0:1::/64"))' list
check 'it is counted' tg_true '.bans.refused_admin >= 2' status
check 'and in the log' grep -q '10.78.1.1/32.*live session of an admin' "$LAB_DIR/guard.log"

# A session that nobody has looked for yet: the walk that looks for proof sees it.
session 10.78.1.3 10.77.0.2:22
flood_of 10.78.1.3 10.77.0.2:80
check 'a session of this moment counts, too' wait_until "$LAB_PATIENCE" is_limited 10.78.1.3/32
check 'and keeps from the drop' tg_true \
	'all(.bans[]; .action != "drop" or .source != "10.78.1.3/32")' list

# It begins while its source is dropped from the web.
session 10.78.1.2 10.77.0.2:22
check 'a session ends the drop of its source' wait_until "$LAB_PATIENCE" \
	tg_true 'all(.bans[]; .action != "drop" or .source != "10.78.1.2/32")' list

by_hand() {
	tg ban "$@" >"$LAB_DIR/hand" 2>&1
}

refused() {
	by_hand "$@"
	(($? == 1))
}
check 'by hand it is refused' refused 10.78.1.1
check 'with the reason' grep -q 'live session of an admin' "$LAB_DIR/hand"
check 'a network that holds one, too' refused 10.78.1.0/24
check 'a rate-limit is not' by_hand 10.78.1.1 --to 5/1s
check 'and with --force nothing is' by_hand 10.78.1.1 --force
check 'then it is in force' is_dropped 10.78.1.1/32
tg unban 10.78.1.1 >/dev/null

conns_stop "$admin"
is_forgotten() {
	by_hand 10.78.1.1
}
check 'when the session is over, so is its right' wait_until "$LAB_PATIENCE" is_forgotten

# Forged: conntrack says ESTABLISHED for a bare ACK, and no socket does.
is_gone_of() {
	tg_true ".admins.addresses <= $1" status
}
wait_until "$LAB_PATIENCE" is_gone_of 3
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
flood --to 10.77.0.2:22 --from 10.79.1.1 --sources 20 --count 20 --flags ack >/dev/null 2>&1
conns_start later --from 10.78.9.9 --to 10.77.0.2:80 --quiet
conns_done later
check 'a forged session is none' tg_true '.admins.addresses <= 3' status
tap_done
