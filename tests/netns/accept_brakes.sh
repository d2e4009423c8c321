#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Brakes: so many bans at once are a mistake of the policy. Beyond them sources are held to a rate,
# status says degraded and why; by hand there is no brake. A share of all flows spares the address
# of many.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

policy() {
	guard_policy <<EOF
version: 1
mode: enforce
brakes: {$1}
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
EOF
}

# enforced ACTION: so many of the sources that this part is about; late packets of an earlier part
# may have made others be counted.
enforced() {
	tg_value "[.bans[] | select(.enforced and .action == \"$1\" and .origin == \"auto\" and
		(.source | startswith(\"$part.\")))] | length" list
}

drops() {
	enforced drop
}

limited() {
	enforced rate-limit
}

together() {
	(($(drops) + $(limited) == $1))
}

# Nothing is left of what was before, in the kernel or on the disk.
begin_anew() {
	guard_stop
	on "$GUARD" nft delete table inet tcpguard
	on "$GUARD" conntrack -F 2>/dev/null
	rm -f "$LAB_DIR/state/bans"
	guard_start || tap_bail 'no daemon'
}

policy 'max-bans-per-minute: 5, max-share-of-sources: none'
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
part=10.78.1
conns_start many --from 10.78.1.1 --sources 40 --count 800 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done many
many=$CONNS_PID
check '40 sources are held back' wait_until "$LAB_PATIENCE" together 40
is_braked() {
	tg_true 'any(.degraded[]; startswith("brake")) and .bans.braked_rate > 0' status
}
check 'a brake holds' wait_until "$LAB_PATIENCE" is_braked
check 'five are dropped, and what a minute lets pass more' test "$(drops)" -ge 5 -a "$(drops)" -le 10
check 'the reason is told' tg_true 'any(.degraded[]; contains("max-bans-per-minute"))' status
check 'by hand there is no brake' quietly tg ban 10.78.2.1
conns_stop "$many"

policy 'max-bans-per-minute: none, max-share-of-sources: 50%'
begin_anew
part=10.78.3
conns_start all --from 10.78.3.1 --sources 60 --count 1200 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done all
all=$CONNS_PID
check '60 sources are held back' wait_until "$LAB_PATIENCE" together 60
is_braked_by_share() {
	tg_true '.bans.braked_sources > 0' status
}
check 'the share holds' wait_until "$LAB_PATIENCE" is_braked_by_share
check 'no more than half of them are dropped' test "$(drops)" -ge 16 -a "$(drops)" -le 31
conns_stop "$all"

# A carrier's NAT among others; an attacker has no such share.
policy 'max-bans-per-minute: none, max-share-of-sources: none, max-share-of-flows: 30%'
begin_anew
conns_start crowd --from 10.78.4.1 --sources 50 --count 250 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done crowd
conns_start attacker --from 10.78.5.2 --count 60 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done attacker
check 'an attacker with a sixth of the flows is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.5.2/32
check 'status is whole' tg_true '.bans.braked_flows == 0' status
tap_done
