#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Connections that only conntrack knows of, in the name of a victim, never drop it: without
# sockets it is held to a rate of SYNs. Who really holds as many is dropped.
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
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
LAB_IDLE=30 lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# Entries as bare ACKs make them where nf_conntrack_tcp_loose is 1: no handshake, and no socket.
forge() {
	local port

	for port in $(seq 20001 20120); do
		on "$GUARD" conntrack -I -p tcp -s "$1" -d 10.77.0.2 --sport "$port" --dport 80 \
			--state ESTABLISHED --status ASSURED --timeout 600 >/dev/null 2>&1 || return 1
	done
}

actions_of() {
	tg_value "[.bans[] | select(.source == \"$1\") | .action] | join(\" \")" list
}

asked_and_denied() {
	tg_true '.engine.witness_denied >= 1 and .engine.witness_proven == 0' status
}

check 'forged entries of a victim are made' forge 10.78.60.1
check 'it is over its limit' wait_until 5 is_banned 10.78.60.1/32
check 'the sockets are asked, and prove nothing' wait_until 5 asked_and_denied
check 'a rate-limit is all it gets' equal "$(actions_of 10.78.60.1/32)" rate-limit
check 'and it is said why' tg_true 'all(.bans[]; .unproven)' list
check 'nothing is dropped whole' tg_true 'all(.bans[]; .action != "drop")' list
check 'the victim still gets in' connects 10.78.60.1 10.77.0.2:80

# Without a descriptor left the sockets cannot be asked: that is said, and it ends.
# The lowest that is free, once no client of the control socket is there any more.
free_descriptor() {
	local fd=0

	while [[ -e /proc/$GUARD_PID/fd/$fd || -L /proc/$GUARD_PID/fd/$fd ]]; do
		fd=$((fd + 1))
	done
	echo "$fd"
}
no_client() {
	[[ $(on "$GUARD" ss -xH state established src "$LAB_DIR/control.sock" | wc -l) == 0 ]]
}
wait_until 5 no_client
prlimit --pid "$GUARD_PID" --nofile="$(free_descriptor):1024" || tap_bail 'no prlimit'
check 'forged entries of another victim are made' forge 10.78.60.3
check 'that the sockets do not answer is said' wait_until 5 grep -q 'degraded (witness)' "$LAB_DIR/guard.log"
prlimit --pid "$GUARD_PID" --nofile=1024:1024
check 'and they are asked again' wait_until 10 tg_true '.engine.witness_denied >= 2' status
check 'which ends it' wait_until 5 tg_true '.health == "ok"' status

conns_start real --from 10.78.60.2 --to 10.77.0.2:80 --count 200 --rate 2000 --timeout 500
conns_done real || tap_bail 'the connects do not end'
tap_note "the real one: held back $(conns_delay real 50) ms after connection 51"
check 'who really holds as many is dropped' equal "$(actions_of 10.78.60.2/32)" drop
check 'by its sockets' tg_true '.engine.witness_proven >= 1 and .witness.walks_failed >= 1' status
check 'the victim is not, still' equal "$(actions_of 10.78.60.1/32)" rate-limit
tap_done
