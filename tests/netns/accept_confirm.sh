#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `reload --confirm`: a policy that nobody confirms is taken back, with its bans; one that is
# confirmed stays, and so does one that was loaded without it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

policy() {
	guard_policy <<EOF
version: 1
mode: enforce
policies:
  $1:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: $2, action: drop, expire: 10m}
EOF
}

policy before 1000
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# The name of the policy in force, as the kernel has it.
in_force() {
	on "$GUARD" nft list table inet tcpguard | grep "jump policy-$1" >/dev/null
}

is_degraded_by() {
	tg_true "any(.degraded[]; startswith(\"$1\"))" status
}

policy after 20
check 'the new one is loaded' quietly tg reload --confirm 2s
check 'and in force' in_force after
check 'status says what waits' tg_true '.confirm_in >= 1 and .confirm_in <= 2' status
conns_start many --from 10.78.1.1 --count 60 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done many
check 'with its bans' wait_until "$LAB_PATIENCE" is_banned 10.78.1.1/32
check 'it is taken back' wait_until "$LAB_PATIENCE" in_force before
check 'its bans are, too' wait_until "$LAB_PATIENCE" is_not_banned 10.78.1.1/32
check 'status says that the files say otherwise' wait_until "$LAB_PATIENCE" is_degraded_by policy

check 'again' quietly tg reload --confirm 3s
check 'a broken file changes nothing meanwhile' test "$(printf 'version: 2\n' >"$LAB_DIR/etc/tcpguard.yaml"; tg reload >/dev/null 2>&1; echo $?)" -eq 1
check 'what waits still waits' tg_true '.confirm_in >= 1' status
policy after 20
check 'a reload confirms' quietly tg reload
check 'nothing waits any more' tg_true '.confirm_in == null' status
check 'status is whole' tg_true '.health == "ok"' status

# Behind the time at which it would have been taken back: the daemon's clock is the judge.
uptime=$(tg_value .uptime status)
later() {
	tg_true ".uptime > $((uptime + 3))" status
}
wait_until "$LAB_PATIENCE" later
check 'it stays' in_force after

wrong() {
	tg reload --confirm "$1" >/dev/null 2>&1
	(($? == 2))
}
check 'no time at all is refused' wrong 0s
check 'a day is refused' wrong 1d
check 'a word is refused' wrong soon
tap_done
