#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# More events than can be read: step by step conntrack is asked for less, which status says, with
# the reason; it answers all the while. Counts that nobody keeps up lead to no ban meanwhile. After
# the flood everything is told again, one step after another, and counts are those of the kernel.
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
      half-open: {half-open: 20, action: rate-limit, to: 5/1s, expire: 10m}
      open: {concurrent: 50, action: rate-limit, to: 5/1s, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
# What the flood leaves behind is gone soon.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_sent=5 \
	net.netfilter.nf_conntrack_tcp_timeout_syn_recv=5
# Room for some twenty messages: what a flood on twenty cores is to the usual room.
guard_start --event-buffer 16 || tap_bail 'no daemon'

python3 "$(dirname "${BASH_SOURCE[0]}")/../lab/ask.py" "$LAB_DIR/control.sock" >"$LAB_DIR/answers" 2>"$LAB_DIR/ask.err" &
asking=$!
disown

step_is() {
	tg_true ".feed.step == $1" status
}

# asked_at STEP: answers there were, and the slowest of them in ms.
asked_at() {
	awk -v step="$1" '$1 == step { n++; if ($2 > most) most = $2 } END { print n + 0, int(most / 1000) }' "$LAB_DIR/answers"
}

answered_at() {
	local count slowest

	read -r count slowest < <(asked_at "$1")
	tap_note "step $1: $count answers, the slowest after $slowest ms"
	# Sanitizers, and other tests beside us: by itself it is a few.
	((count > 0)) && at_most "$slowest" 2000
}

ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$LAB_DIR/flood.trace" \
	>"$LAB_DIR/record.out" 2>&1 &
recorder=$!
disown
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'nobody records'
check 'at first everything is told' tg_true '.feed.step == 0 and .feed.tells == "all" and .health == "ok"' status

ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" events --json --follow >"$LAB_DIR/events" 2>/dev/null &
disown
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from 10.79.0.1 --sources 60000 \
	--to 10.77.0.2:80 --count 1000000000 >/dev/null 2>&1 &
flood=$!
disown
check 'in a flood less and less' wait_until "$LAB_PATIENCE" step_is 3
check 'which status says, and why' tg_true '.feed.tells == "nothing" and .feed.why != null and
	(.feed.since | test("Z$")) and any(.degraded[]; startswith("load: ")) and .feed.steps_down >= 3' status
check 'and every step the log' eval \
	'(($(grep -c "one step down" "$LAB_DIR/guard.log") >= 3))'
told() {
	jq -se "any(.[]; .event == \"$1\" and (.message | startswith(\"conntrack is asked for\")))" "$LAB_DIR/events" >/dev/null
}
check 'who follows events is told' wait_until "$LAB_PATIENCE" told step-down
conns_start many --from 10.78.9.1 --to 10.77.0.2:80 --count 30 --timeout 10000 --quiet
conns_done many
many=$CONNS_PID
# Until it is tried again, which is no sooner than after two seconds.
silent() {
	local before after

	read -r before < <(tg_value 'select(.feed.step == 3) | "\(.feed.steps_up) \(.events.received)"' status)
	read -r after < <(tg_value 'select(.feed.step == 3) | "\(.feed.steps_up) \(.events.received)"' status)
	[[ -n $before && $before == "$after" ]]
}
check 'there nothing comes, however hard it is flooded' wait_until "$LAB_PATIENCE" silent
check 'it is tried again, and steps back' wait_until "$LAB_PATIENCE" tg_true '.feed.steps_up >= 1 and .feed.steps_down >= 4' status
check 'nobody is held back for counts that nobody keeps up' equal "$(tg_value '.bans | length' list)" 0
kill "$flood"
wait_until "$LAB_PATIENCE" is_gone "$flood"

check 'after it everything is told again' wait_until 90 tg_true \
	'.feed.step == 0 and (.events.stale | not) and (.feed | has("why") | not)' status
check 'that is told, too' wait_until "$LAB_PATIENCE" told step-up
for step in 0 1 2 3; do
	check "status is answered on step $step" answered_at "$step"
done
kill "$asking"
check 'without a failure' equal "$(cat "$LAB_DIR/ask.err")" ''
check 'counts are those of the kernel' agrees "$LAB_PATIENCE"
check 'thirty connections are thirty' tg_true \
	'any(.sources[]; .source == "10.78.9.1/32" and .states.established == 30)' top --count 0
check 'and healthy' wait_until "$LAB_PATIENCE" tg_true '.health == "ok"' status

# What is over a limit by then is an offence as ever.
conns_start more --from 10.78.9.1 --to 10.77.0.2:80 --count 30 --timeout 1000 --quiet
conns_done more
check 'limits hold as before' wait_until "$LAB_PATIENCE" is_banned 10.78.9.1/32
kill -INT "$recorder"
wait_until "$LAB_PATIENCE" is_gone "$recorder"
check 'a replay decides the same' equal \
	"$("$LAB_CLI" simulate --policy "$LAB_DIR/etc/tcpguard.yaml" --json "$LAB_DIR/flood.trace" |
		jq -r '[.decisions[] | select(.decision == "ban") | "\(.source) \(.limit) \(.measured)"] | join(", ")')" \
	"$(tg_value '[.bans[] | "\(.source) \(.limit) \(.measured)"] | join(", ")' list)"
conns_stop "$many"
tap_done
