#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 2,000 legitimate clients behind one address: a policy whose steps are rate-limits takes the
# address for an offender, and its people keep being served, only not all at once.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

clients=2000
guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 4000, action: drop, expire: 10m}
      new-per-ip: {new: 200/1s, burst: 400, action: rate-limit, to: 600/1s, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
# One address has one range of ports, which TIME_WAIT uses up.
on "$CLIENT" sysctl -qw net.ipv4.ip_local_port_range='1024 65535'

# Every client exchanges a line twice, all from one address; sets RUN_OK, RUN_FAILED, RUN_P95_US.
# A SYN that was held back is sent again after 1, 2, 4 … seconds: patience is part of TCP.
run() {
	local line

	line=$(on "$CLIENT" "$LAB_TOOLS/lab-clients" --to 10.77.0.2:80 --from 10.78.60.1 --sources $clients \
		--stride 0 --pause 2000 --timeout 30000 --each 2 | grep REPORT)
	tap_note "$1: $line"
	RUN_OK=$(field ok <<<"$line") RUN_FAILED=$(field failed <<<"$line")
	RUN_P95_US=$(field p95_us <<<"$line")
}

run 'without a guard'
base=$RUN_P95_US
check 'without a guard all are served' equal "$RUN_OK $RUN_FAILED" "$((clients * 2)) 0"
guard_start || tap_bail 'no daemon'
run 'rate-limited'
check 'the address is rate-limited' equal "$(bans_of)" '10.78.60.1/32 web new-per-ip'
check 'in the kernel, which has held something back' \
	tg_true 'any(.bans[]; .enforced and .action == "rate-limit" and .packets > 0)' list
check 'every client is served all the same' equal "$RUN_OK $RUN_FAILED" "$((clients * 2)) 0"
tap_note "95 of 100 exchanges took $((RUN_P95_US / 1000)) ms, $((base / 1000)) ms without a guard"
# 4,000 handshakes, 1,000 a second where 600 may pass, in doubling steps of patience.
check 'within the patience of a person' at_most "$RUN_P95_US" 15000000

# The same with connections that stay: 2,000 at once are within the limit.
guard_stop TERM
quietly tg panic --state-dir "$LAB_DIR/state"
quietly tg panic --off --state-dir "$LAB_DIR/state"
sed -i '/new-per-ip/d' "$LAB_DIR/etc/tcpguard.yaml"
guard_start || tap_bail 'no daemon'
conns_start stay --from 10.78.60.1 --to 10.77.0.2:80 --count $clients --quiet --window 256
conns_done stay
check '2,000 open at once from one address are let through' \
	equal "$(field connected <"$LAB_DIR/conns.stay")" $clients
check 'and counted' wait_until 5 tg_true "any(.sources[]; .source == \"10.78.60.1/32\" and .states.established >= $clients)" top --count 0
check 'and nobody is banned' equal "$(tg_value '.bans | length' list)" 0
tap_done
