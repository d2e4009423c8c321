#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Counts follow conntrack through what an operator does to it: a flush in the middle of traffic,
# entries older than the daemon, deleted ones; they never drift and never go below zero.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: observe
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 100000, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
# Conntrack at work before the daemon: these connections are older than it.
on "$GUARD" nft add table inet other '{ chain c { type filter hook input priority 0; ct state new counter; }; }'
conns_start old --from 10.78.50.1 --to 10.77.0.2:80 --count 40 --quiet
conns_done old
old=$CONNS_PID
guard_start || tap_bail 'no daemon'

check 'connections older than the daemon are counted' agrees 5
check 'all 40 of them' tg_true 'any(.sources[]; .source == "10.78.50.1/32" and .states.established == 40)' top --count 0

conns_start new --from 10.78.50.2 --to 10.77.0.2:80 --count 60 --quiet
conns_done new
new=$CONNS_PID
conns_start six --from fd78:0:0:50::1 --to '[fd77::2]:80' --count 30 --quiet
conns_done six
six=$CONNS_PID
check 'new ones too, over IPv4 and IPv6' agrees 5
kill "$new"
check 'closed ones are seen to close' agrees 5

clients_start v4 10.77.0.2:80 10.78.1.1 30 32
wait_until 10 tg_true '.states | add > 300' status
for _ in 1 2 3 4 5; do
	on "$GUARD" conntrack -F >/dev/null 2>&1
done
clients_report
check 'traffic goes on while conntrack is flushed' test "$CLIENTS_OK" -gt 0
kill "${LAB_CLIENTS[0]##*:}"
# The kernel tells nothing about entries that are older than the daemon: those take a dump.
check 'after flushes in the middle of traffic the counts agree' agrees 70
on "$GUARD" conntrack -D -s fd78:0:0:50::1 >/dev/null 2>&1
check 'deleted entries are not counted' agrees 5
kill "$old" "$six"
# The FINs of the end may come after a flush, and conntrack takes them up as flows.
wait_until "$LAB_PATIENCE" is_gone "$old"
wait_until "$LAB_PATIENCE" is_gone "$six"
flushed_for_good() {
	on "$GUARD" conntrack -F >/dev/null 2>&1
	tg_true '.flows == 0' status
}
check 'nothing is left when all is gone' wait_until 10 flushed_for_good
check 'no count fell below zero' tg_true '[.sources[].states[]] | all(. >= 0 and . < 100000)' top --count 0
check 'and nobody was found over a limit' equal "$(tg_value '.bans | length' list)" 0
tap_done
