#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tables that are full: a flood of single handshakes pushes out its like. Who holds many
# connections stays counted to the last one, and is caught; a flood over IPv6 takes no room from
# IPv4; what made room is counted, and said.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
defaults: {max-flows: 2048, max-sources: 1024}
policies:
  web:
    match: {ports: [80]}
    limits:
      flooded: {half-open: 500, source: total, action: observe, expire: 2s}
      open-per-ip: {concurrent: 100, action: drop, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
memory=$(tg_value .memory status)

# holds SOURCE COUNT
holds() {
	tg_true "any(.sources[]; .source == \"$1\" and .states.established == $2)" top --count 0
}

conns_start held --from 10.78.3.1 --to 10.77.0.2:80 --count 90 --quiet
conns_done held
conns_start held6 --from fd78:0:0:3::1 --to '[fd77::2]:80' --count 90 --quiet
conns_done held6
check 'two sources hold 90 each' wait_until 5 eval 'holds 10.78.3.1/32 90 && holds fd78:0:0:3::/64 90'

tap_note "$(flood --from fd79::1 --stride 64 --sources 20000 --to '[fd77::2]:80' --count 20000 --rate 20000)"
check 'the tables are full, and it is said' wait_until 5 tg_true '.health == "degraded" and .engine.sources_evicted > 0
	and .engine.flows_evicted > 0 and (.degraded | length) > 0' status
check 'the flood is a state of the service' tg_true 'any(.bans[]; .source == "total")' list
check 'after the flood of IPv6 they are counted' eval 'holds 10.78.3.1/32 90 && holds fd78:0:0:3::/64 90'
tap_note "$(flood --from 10.80.0.1 --sources 20000 --stride 32 --to 10.77.0.2:80 --count 20000 --rate 20000)"
check 'after one of IPv4, too' eval 'holds 10.78.3.1/32 90 && holds fd78:0:0:3::/64 90'
tg status | sed -n '/flows\|evicted\|not counted/s/^/# /p'

conns_start more --from 10.78.3.1 --to 10.77.0.2:80 --count 20 --timeout 500 --quiet
conns_start more6 --from fd78:0:0:3::1 --to '[fd77::2]:80' --count 20 --timeout 500 --quiet
check 'one more than allowed, and it is dropped' wait_until 5 is_dropped 10.78.3.1/32
check 'over IPv6, too' wait_until 5 is_dropped fd78:0:0:3::/64
check 'nobody else is' equal "$(tg_value '[.bans[] | select(.enforced)] | length' list)" 2
check 'not one byte more was taken' equal "$(tg_value .memory status)" "$memory"
check 'no event was lost' equal "$(tg_value .events.lost status)" 0
tap_done
