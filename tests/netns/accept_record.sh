#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What was recorded while a source was banned decides the same again when it is replayed: same
# source, limit and count. A second recording begins with the ban and the connections that were there.
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
      open-per-ip: {concurrent: 100, action: drop, expire: 10m}
EOP
cat >"$LAB_DIR/looser.yaml" <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 100000, action: drop, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

policy=$LAB_DIR/etc/tcpguard.yaml
trace=$LAB_DIR/first.trace
second=$LAB_DIR/second.trace

recording() {
	tg_true ".record.clients == $1" status
}

# simulate FILTER TRACE OPTION…: a value of what simulate decides under the policy in force.
simulated() {
	local filter=$1 file=$2

	shift 2
	"$LAB_CLI" simulate --policy "$policy" --json "$@" "$file" |
		jq -r "$filter"
}

# The program itself in the background, not a shell around it: it is to get the signal.
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$trace" \
	>"$LAB_DIR/record.out" 2>&1 &
recorder=$!
check 'the daemon counts who records' wait_until 5 recording 1
conns_start loud --from 10.78.200.1 --to 10.77.0.2:80 --count 300 --timeout 1000 --rate 2000
conns_done loud || tap_bail 'the connects do not end'
check 'the source is dropped' wait_until 5 is_dropped 10.78.200.1/32
real=$(tg_value '.bans[0] | [.source, .action, .policy, .limit, .measured, .threshold] | join(" ")' list)
kill -INT "$recorder"
check 'Ctrl-C ends the recording well' wait "$recorder"
check 'the daemon knows that it ended' wait_until 5 recording 0
tap_note "$(cat "$LAB_DIR/record.out"); the ban: $real"
check 'nothing was lost' tg_true '.record.lost == 0 and .record.events > 300' status

# A rate-limit first, which the drop takes the place of when the sockets have proven the source.
check 'the replay decides the same ban' equal "$(simulated '[.decisions[] | select(.decision == "ban")
	| [.source, .action, .policy, .limit, .measured, .threshold] | join(" ")] | last' "$trace")" "$real"
check 'and gets there by the same way' equal "$(simulated '[.decisions[] | select(.decision == "ban")
	| .action] | join(" ")' "$trace")" 'rate-limit drop'
check 'once more, it is the same to the letter' equal \
	"$(simulated '.decisions | tojson' "$trace")" "$(simulated '.decisions | tojson' "$trace")"
check 'another policy would not' eval "quietly '$LAB_CLI' simulate \
	--policy '$LAB_DIR/looser.yaml' '$trace' && ! '$LAB_CLI' simulate \
	--policy '$LAB_DIR/looser.yaml' --compare '$policy' '$trace' >'$LAB_DIR/differ'"
check 'and the comparison says what differs' grep -q '^> 10.78.200.1/32: web/open-per-ip' "$LAB_DIR/differ"
check 'a policy does not differ from itself' quietly "$LAB_CLI" simulate \
	--policy "$policy" --compare "$policy" "$trace"

check 'a file is not overwritten' eval '! quietly tg record "$trace" --for 1s'
check 'but with --force' quietly tg record "$second" --force --for 1s
check 'a recording begins with the flows that there are' test "$(simulated .events "$second")" -gt 100
check 'and with the bans, which are no news' equal "$(simulated '[.decisions[] | select(.decision == "ban")] | length' "$second")" 0
check 'so many events and no more' eval 'quietly tg record "$second" --force --count 50 &&
	[[ $(simulated .events "$second") == 50 ]]'
check 'only its owner reads it' equal "$(stat -c %a "$trace")" 600
head -c $(($(stat -c %s "$trace") - 1)) "$trace" >"$LAB_DIR/cut.trace"
refused_as_cut() {
	! "$LAB_CLI" simulate --policy "$policy" "$LAB_DIR/cut.trace" >/dev/null 2>"$LAB_DIR/cut.err" &&
		grep -q 'cut off within a record' "$LAB_DIR/cut.err"
}
check 'a trace that is cut off is said to be' refused_as_cut
tap_done
