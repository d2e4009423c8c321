#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Nothing forged drops anybody. A flood of SYNs from 100,000 sources is a state of the service, not
# 100,000 bans, and people are served through it; ACKs of nothing, and handshakes finished by
# guessing, in the name of a victim, which conntrack takes for connections, prove nothing.
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
      flooded: {half-open: 20000, source: total, action: observe, expire: 2s}
      half-open: {half-open: 3, action: rate-limit, to: 2/1s, expire: 10m}
      failed: {failed: 3/1m, action: rate-limit, to: 2/1s, expire: 10m}
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
  mail:
    match: {ports: [25]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_mutes || tap_bail 'nobody can be muted'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:25 || tap_bail 'no server'
# What is half-open is given up soon, so that the end of the flood can be awaited.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_recv=8 \
	net.netfilter.nf_conntrack_tcp_timeout_syn_sent=8 net.ipv4.tcp_synack_retries=1
guard_start || tap_bail 'no daemon'
clients_start v4 10.77.0.2:80 10.78.1.1 50 32

raised() {
	tg_true 'any(.bans[]; .source == "total" and .limit == "flooded")' list
}

half_open() {
	tg_value '.states["syn-sent"] + .states["syn-recv"]' status
}

drops() {
	tg_value '[.bans[] | select(.action == "drop")] | length' list
}

# So many sources that none of them is anybody; then some of them are over limits of their own.
tap_note "$(flood --from 10.80.0.1 --sources 100000 --stride 32 --to 10.77.0.2:80 --count 100000 --rate 40000)"
check 'the flood is a state of the service' wait_until 5 raised
tap_note "half-open: $(half_open); bans: $(bans_of | grep -vc ^total)"
check 'and no ban of any source' equal "$(bans_of)" 'total web flooded'
tap_note "$(flood --from 10.80.0.1 --sources 4000 --stride 32 --to 10.77.0.2:80 --count 20000 --rate 20000 \
	--first-port 5000)"
check 'offences of parts of the flood are left to it' wait_until 5 tg_true '.engine.suppressed > 0' status
bans=$(bans_of | grep -vc ^total)
tap_note "4,000 sources over limits of their own: $bans bans, $(tg_value .engine.suppressed status) left to the state"
check 'a hundred bans at most, not 4,000' at_most "$bans" 100
# Unless one is a good part of the flood by itself.
flood --from 10.79.9.9 --to 10.77.0.2:80 --count 5000 --rate 20000 >/dev/null
check 'a heavy hitter among them is limited' wait_until 5 is_banned 10.79.9.9/32
check 'nobody is dropped' equal "$(drops)" 0
clients_report || tap_bail 'the clients do not answer'
tap_note "50 clients during the flood: $CLIENTS_OK exchanges, $CLIENTS_FAILED failed, p95 $CLIENTS_P95_US us"
check 'people are served meanwhile' test "$CLIENTS_OK" -gt 100
check 'all of them' equal "$CLIENTS_FAILED" 0
check 'and are not limited' eval '! bans_of | grep "^10\.78\." >/dev/null'

# The state ends when the flood is half of the limit or less, and has been for its time. Every
# look first at the state and then at the count, so that a count that falls between is no error.
calm=
left() {
	local now

	raised || return 0
	now=$(half_open)
	((now > 10000)) || calm=${calm:-$(lab_now_ns)}
	return 1
}
check 'it ends when the flood is over' wait_until 60 left
ended=$(lab_now_ns)
tap_note "calm was seen $(((ended - ${calm:-0}) / 1000000)) ms before its end"
check 'after calm was seen, and the time that it takes' \
	test -n "$calm" -a $(((ended - ${calm:-0}) / 1000000)) -ge 1000
check 'status counts no service' tg_true '.engine.services == 0' status

# is_limited SOURCE: at most; and by nothing stronger.
is_limited() {
	equal "$(tg_value ".bans[] | select(.source == \"$1\") | \"\(.action) \(.enforced)\"" list)" 'rate-limit true'
}

taken() {
	on "$GUARD" conntrack -L -p tcp -s "$1" --state ESTABLISHED 2>/dev/null | wc -l
}

# What follows is recorded, to be played to an engine that asks nobody.
: >"$LAB_DIR/sweep.out"
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$LAB_DIR/sweep.trace" \
	>"$LAB_DIR/sweep.out" 2>&1 &
recorder=$!
wait_until 5 tg_true '.record.clients == 1' status || tap_bail 'no recording'

# The victim's name on ACKs of nothing. The guard's answers, which would undo it, are lost.
lab_mute answers 10.78.66.6
flood --from 10.78.66.6 --ack --to 10.77.0.2:80 --count 300 --rate 5000 >/dev/null
count=$(taken 10.78.66.6)
check "loose pickup: conntrack takes ACKs of nothing for $count connections" test "$count" -gt 50
check 'their source is asked for proof' wait_until 5 tg_true '.engine.witness_asked > 0' status
check 'there is none' wait_until 5 tg_true '.engine.witness_denied > 0' status
check 'so new connections are limited, and nothing is dropped' is_limited 10.78.66.6/32

# What does not help: tcp_loose off. A SYN, and ACKs that guess what it was answered. This
# victim is away, else it would answer the SYN-ACK with a reset.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
denied=$(tg_value .engine.witness_denied status)
lab_mute resets 10.79.66.7
tap_note "$(flood --from 10.79.66.7 --sweep --to 10.77.0.2:25 --count 20)"
count=$(taken 10.79.66.7)
check "no loose pickup: conntrack takes guesses for $count connections" test "$count" -gt 10
check 'there is no proof either' wait_until 5 tg_true ".engine.witness_denied > $denied" status
check 'it is limited at most, too' is_limited 10.79.66.7/32
check 'nobody is dropped' equal "$(drops)" 0
kill -INT "$recorder"
wait "$recorder"

# dropped OPTION…: which of the two victims a replay of the same drops.
dropped() {
	"$LAB_CLI" simulate --policy "$LAB_DIR/etc/tcpguard.yaml" --json "$@" "$LAB_DIR/sweep.trace" |
		jq -r '[.decisions[] | select(.action == "drop" and .decision != "lift" and
			(.source == "10.78.66.6/32" or .source == "10.79.66.7/32")) | .source] |
			unique | join(" ")'
}
check 'a replay drops neither' equal "$(dropped)" ''
# The same without a witness: what keeps them from the drop is nothing else.
check 'without the witness both would be dropped' equal "$(dropped --assume-real)" \
	'10.78.66.6/32 10.79.66.7/32'
on "$GUARD" nft flush set ip lab_mute answers
on "$GUARD" nft flush set ip lab_mute resets
check 'the first victim gets in' connects 10.78.66.6 10.77.0.2:80 5000
on "$CLIENT" ip route add local 10.79.66.7 dev lo
check 'and the second, when it is back' connects 10.79.66.7 10.77.0.2:25 5000
# The same count by somebody real is the drop that was asked for.
conns_start real --from 10.78.66.8 --to 10.77.0.2:25 --count 20 --rate 200 --timeout 500 --quiet
check 'who is real is dropped' wait_until 5 is_dropped 10.78.66.8/32
check 'and nobody else' equal "$(drops)" 1
guard_stop TERM
guard_start || tap_bail 'no daemon'
check 'a daemon that starts anew takes that over' is_dropped 10.78.66.8/32
check 'and limits whom it limited, no more' is_limited 10.78.66.6/32
check 'and drops nobody else' equal "$(drops)" 1
tap_done
