#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# After a reboot the kernel holds nothing: 100,000 bans come back from the state directory, with
# their ends and offences, also when the file is damaged in between. What the kernel still has
# counts for more, and a panic stays one.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
ladders:
  usual:
    steps:
      - {action: drop, expire: 10m}
      - {action: drop, expire: 20m}
    forget-after: 1h
policies:
  web:
    match: {ports: [80]}
    limits:
      open: {concurrent: 50, ladder: usual}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
mkdir -p "$LAB_DIR/state"

# The kernel's memory is gone, as after a reboot: nobody owns the table of a dead daemon.
reboot() {
	guard_stop "${1:-KILL}"
	on "$GUARD" nft delete table inet tcpguard
}

file_is_fresh() {
	tg_true '.store.snapshots >= 1' status
}

"$LAB_TOOLS/lab-state" 100000 1000 54321 >"$LAB_DIR/state/bans"
began=$(lab_now_ns)
guard_start || tap_bail 'no daemon'
echo "# ready $((($(lab_now_ns) - began) / 1000000)) ms after its start: $(grep -h 'read bans' "$LAB_DIR/guard.log")"
check 'the damaged line is told' grep -q '1 damaged lines' "$LAB_DIR/guard.log"
check 'and the file has another name' quietly compgen -G "$LAB_DIR/state/bans.damaged-*"
check 'all the others are in force' equal "$(tg_value '.bans.active' status)" 99999
check 'and in the kernel' equal "$(kernel_bans | wc -l)" 99999
check 'with an end of their own' test "$(kernel_bans | grep -c never)" -eq 0
check 'the offences of bans that are over count' equal "$(tg_value '.engine.records' status)" 1000
check 'a fresh file is written' wait_until "$LAB_PATIENCE" file_is_fresh

# By hand, automatic and lifted: each as it was, after a crash.
tg ban 192.0.2.7 --for 1h --reason 'loud neighbour' >/dev/null
tg ban 192.0.2.8 --action cap --to 3 >/dev/null
tg ban 192.0.2.9 --action reject --scope new >/dev/null
tg unban 100.64.0.5 >/dev/null
conns_start many --from 10.78.1.1 --count 100 --to 10.77.0.2:80 --timeout 500 --quiet
conns_done many
check 'a source is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.1.1/32
conns_stop "$CONNS_PID"
before=$(tg_value '[.bans[] | select(.source | startswith("100.") | not) | {source, action, scope, to, policy, limit, offence, reason, origin}] | sort_by(.source)' list)
reboot
check 'the kernel has forgotten all' test "$(kernel_bans | wc -l)" -eq 0
guard_start || tap_bail 'no daemon after the crash'
after=$(tg_value '[.bans[] | select(.source | startswith("100.") | not) | {source, action, scope, to, policy, limit, offence, reason, origin}] | sort_by(.source)' list)
check 'each is as it was' equal "$after" "$before"
check 'what was lifted is not back' is_not_banned 100.64.0.5/32
check 'the rest is' equal "$(tg_value '.bans.active' status)" $((99998 + 4))
check 'and held back' test "$(connects 10.78.1.1 10.77.0.2:80 && echo passes)" = ''

# A second offence, after the first is over and the host was rebooted, is a second one.
tg unban --all >/dev/null
check 'a fresh file without them' wait_until "$LAB_PATIENCE" tg_true '.store.snapshots >= 2' status
reboot TERM
"$LAB_TOOLS/lab-state" 0 300 >"$LAB_DIR/state/bans"
guard_start || tap_bail 'no daemon'
on "$CLIENT" ip route add local 100.127.0.0/24 dev lo
on "$GUARD" ip route add 100.127.0.0/24 via 10.77.0.1
conns_start again --from 100.127.0.9 --count 100 --to 10.77.0.2:80 --timeout 500 --quiet
conns_done again
check 'it is banned' wait_until "$LAB_PATIENCE" is_dropped 100.127.0.9/32
check 'for the second time' equal \
	"$(tg_value '.bans[] | select(.source == "100.127.0.9/32" and .action == "drop") | .offence' list)" 2

# The kernel's own memory outlives the daemon: nothing is put in twice.
guard_stop KILL
guard_start || tap_bail 'no daemon'
check 'adopted, not restored' tg_true '.bans.adopted >= 1 and .bans.restored == 0' status

tg panic >/dev/null
reboot
guard_start || tap_bail 'no daemon'
check 'after a panic nothing comes back' equal "$(tg_value '.bans.active' status)" 0
tap_done
