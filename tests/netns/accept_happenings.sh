#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What becomes of the daemon itself is told beside its decisions: reasons to be degraded as they
# come and go, policies that are taken, refused, confirmed or taken back, panic, the state of a
# service, and messages of conntrack that were lost.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

policy() {
	guard_policy <<EOF
version: 1
mode: enforce
defaults: {max-sources: 65536}
brakes: {max-bans-per-minute: 1, max-share-of-sources: none}
policies:
  web:
    match: {ports: [80]}
    limits:
      open: {concurrent: 100, source: total, action: observe, expire: 1s}
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
      $1
EOF
}

# told EVENT CAUSE [TEXT]: since the number in $from.
told() {
	tg events --json | jq -se "any(.[]; .number >= $from and .event == \"$1\" and .cause == \"$2\" and .schema == 1 and
		((.message // \"\") | contains(\"${3:-}\")))" >/dev/null
}

will_be_told() {
	wait_until "$LAB_PATIENCE" told "$@"
}

# Later checks are about what comes from here on.
from_here() {
	from=$(($(tg events --json --count 1 | jq '.number // 0') + 1))
}

from=1
policy ''
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
tg events --follow >"$LAB_DIR/followed" 2>"$LAB_DIR/followed.err" &
FOLLOWER=$!
disown

check 'a start that is whole is nothing to tell' equal "$(tg events --json)" ''
check 'a policy is reloaded' quietly tg reload
check 'and that is told' told reload operator 'policies 1, files 1'
check 'to who follows, too' wait_until "$LAB_PATIENCE" grep -q 'reload  operator  policies 1, files 1' "$LAB_DIR/followed"
kill -HUP "$GUARD_PID"
check 'so is one by signal' will_be_told reload signal
policy 'open-per-ap: {concurrent: x}'
check 'a wrong one is refused' eval '! tg reload >/dev/null 2>&1'
check 'which is told, with the place of the fault' told reload-failed operator 'tcpguard.yaml:11:'

policy ''
check 'one that wants to be confirmed' quietly tg reload --confirm 1m
check 'says so' told reload operator 'comes back in 1m'
check 'nothing is confirmed yet' eval '! told confirm operator'
check 'a reload confirms it' quietly tg reload
check 'which is told' told confirm operator
check 'one that nobody confirms' quietly tg reload --confirm 1s
check 'is taken back' will_be_told rollback unconfirmed
check 'and the daemon is degraded' told degraded policy 'nobody confirmed'
check 'until the next' quietly tg reload
check 'after which it is not' told recovered policy 'after'

from_here
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_acct=0
policy 'idle-per-ip: {idle: 1000, action: observe, expire: 1m}'
check 'a reason of the host' quietly tg reload
check 'is told' will_be_told degraded accounting nf_conntrack_acct
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_acct=1
check 'and that it is gone' will_be_told recovered accounting

from_here
check 'panic' quietly tg panic
check 'is told' told panic panic 'lifted by hand'
check 'its end, too' eval 'quietly tg panic --off && told resume panic'

from_here
conns_start many --from 10.78.1.1 --sources 10 --stride 32 --to 10.77.0.2:80 --count 150 --quiet --timeout 300
conns_done many
check 'a service over its limit' will_be_told over offence
check 'is a decision with what it measures' eval \
	'tg events --json | jq -se "any(.[]; .event == \"over\" and .source == \"total\" and .threshold == 100)" >/dev/null'
conns_stop "$CONNS_PID"
check 'and within it again' will_be_told ok expired
conns_start greedy --from 10.78.2.1 --sources 4 --stride 32 --to 10.77.0.2:80 --count 120 --quiet --timeout 300
conns_done greedy
check 'a brake that holds' will_be_told brake-on brake 'max-bans-per-minute'
conns_stop "$CONNS_PID"

# More messages than the buffer has room for, while nobody reads them.
from_here
kill -STOP "$GUARD_PID"
flood --from 10.79.0.1 --sources 40000 --to 10.77.0.2:80 --count 40000 --rate 40000 >/dev/null
kill -CONT "$GUARD_PID"
check 'messages that were lost' will_be_told gap overrun 'messages of conntrack'
check 'are made up for' will_be_told resync dump
lost=$(tg_value .events.lost status)
check 'and their number is that of status' told resync dump "lost were $lost messages"

check 'the log has it as well' quietly grep 'policy taken back (unconfirmed)' "$LAB_DIR/guard.log"
check 'who asks for a source is not told' equal "$(tg events --json --source 10.99.0.0/16)" ''
check 'the follower lives' eval "! is_gone $FOLLOWER"
tap_done
