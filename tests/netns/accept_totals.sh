#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A service as a whole has a limit: it is a state of the service, raised once, listed with the
# source `total`, and it ends only when the load has been low for a while.
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
      open: {concurrent: 100, source: total, action: observe, expire: 2s}
      open-per-ip: {concurrent: 100, action: rate-limit, to: 5/1s, expire: 10m}
  mail:
    match: {ports: [25]}
    limits:
      begun: {new: 50/1s, source: total, action: observe, expire: 1s}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' 10.77.0.2:25 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# raised [LIMIT]
raised() {
	tg_true "any(.bans[]; .source == \"total\" and .limit == \"${1:-open}\")" list
}

services() {
	tg_true ".engine.services == $1" status
}

conns_start many4 --from 10.78.1.1 --sources 8 --stride 32 --to 10.77.0.2:80 --count 80 --quiet
conns_done many4
many4=$CONNS_PID
check 'below its limit the service has no state' eval '! raised'
conns_start many6 --from fd78:0:0:1::1 --sources 8 --stride 64 --to '[fd77::2]:80' --count 40 --quiet
conns_done many6
many6=$CONNS_PID
check 'both families together cross it: the state is raised' wait_until 5 raised
check 'status counts it' services 1
check 'it says why' equal "$(tg_value '.bans[] | select(.source == "total")
	| [.action, .measure, .threshold, .measured > 100, .enforced] | join(" ")' list)" 'observe concurrent 100 true false'
check 'and so does status' equal "$(tg_value '[.services[] | [.policy, .limit, .measure, .threshold, .measured > 100]
	| join(" ")] | join("; ")' status)" 'web open concurrent 100 true'
check 'nobody is banned for it' equal "$(bans_of)" 'total web open'
check 'and the kernel holds nothing' equal "$(kernel_bans | wc -l)" 0

# 80 are left: below the limit, and above its half.
conns_stop "$many6"
wait_until 5 tg_true '.states.established == 80' status
# Its time is over in this, if it were not for the hysteresis.
sleep 3
check 'above half of the limit it stays, however long that takes' raised
calm=$(lab_now_ns)
conns_stop "$many4"
check 'when the load is gone it ends' wait_until 10 eval '! raised'
took=$((($(lab_now_ns) - calm) / 1000000))
tap_note "ended $took ms after the last connection"
check 'and not before it was calm for the whole time' test "$took" -ge 1900
check 'status counts none' services 0

conns_start again --from 10.78.1.1 --sources 8 --stride 32 --to 10.77.0.2:80 --count 120 --quiet
conns_done again
check 'it can be raised again' wait_until 5 raised
check 'without a ban' equal "$(bans_of)" 'total web open'

# A rate: 150 at once are a full bucket and more, of which half is drained in half a second.
conns_start begun --from 10.78.2.1 --sources 10 --stride 32 --to 10.77.0.2:25 --count 150 --quiet \
	--then close --rst --window 8
conns_done begun
check 'a rate is raised, too' wait_until 5 raised begun
check 'two services now' services 2
check 'and ends when it is calm' wait_until 10 eval '! raised begun'
check 'the other goes on' raised
tap_done
