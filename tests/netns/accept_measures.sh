#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every measure fires for the traffic that it is for, and for nothing else: one kind of traffic
# from each source, on the real kernel, under one policy with every measure in a limit of its own.
# Two limits of a policy share a ban, which would hide the second: so each measure has a
# policy to itself, too, and the list must name exactly the pairs that are meant.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

# Every flow is `new`, most are `concurrent` at some time, and who closes passes through FIN_WAIT for
# as long as an ACK may be delayed: what tells them apart is how many.
limits=(
	'concurrent: 100'
	'half-open: 40'
	'new: 100/1s, burst: 100'
	'time-wait: 40'
	'close-wait: 30'
	'fin-wait: 40'
	'last-ack: 20'
	'idle: 60'
	'failed: 30/10s'
	'fan-out: 100'
)

# limit MEASURE…: "NAME: {…}"
limit() {
	local follows='action: rate-limit, to: 10/1s, expire: 10m'

	[[ $1 == fan-out:* ]] && follows='action: observe, expire: 10m'
	echo "      ${1%%:*}: {$1, $follows}"
}

{
	printf '%s\n' 'version: 1' 'mode: observe' 'defaults: {idle-after: 2s}' 'policies:' \
		'  all:' '    match: {ports: [80, 81, 82]}' '    limits:'
	for measure in "${limits[@]}"; do
		limit "$measure"
	done
	for measure in "${limits[@]}"; do
		printf '%s\n' "  only-${measure%%:*}:" '    match: {ports: [80, 81, 82]}' '    limits:'
		limit "$measure"
	done
} | guard_policy
lab_pair || tap_bail 'no lab'
lab_mutes || tap_bail 'nobody can be muted'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
LAB_NO_ACCEPT=1 lab_serve "$GUARD" 10.77.0.2:81 || tap_bail 'no server that does not close'

# Without accounting no flow can be told to be idle.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_acct=0
guard_start || tap_bail 'no daemon'
check 'accounting off: degraded, and says so' \
	wait_until 5 tg_true '.health == "degraded" and any(.degraded[]; tostring | test("account"))' status
guard_stop TERM
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_acct=1
# Half-open flows stand until the end of this.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_recv=600
guard_start || tap_bail 'no daemon'
check 'accounting on: healthy' equal "$(tg_value .health status)" ok

wanted=()

# want SOURCE MEASURE
want() {
	wanted+=("$1 all $2" "$1 only-$2 $2")
}

fires() {
	bans_of | grep -Fx "$1 only-$2 $2" >/dev/null
}

# fired SOURCE MEASURE DESCRIPTION
fired() {
	want "$1" "$2"
	check "$2: $3" wait_until "$LAB_PATIENCE" fires "$1" "$2"
}

# The control group of `idle`: as many that talk, and so few that `concurrent` does not mind them.
conns_start control --from 10.78.100.1 --to 10.77.0.2:80 --count 80 --quiet --talk 200
conns_done control
# And so without timestamps, where a short line is less than they would be.
on "$CLIENT" sysctl -qw net.ipv4.tcp_timestamps=0
conns_start plain --from 10.78.100.10 --to 10.77.0.2:80 --count 80 --quiet --talk 200
conns_done plain
conns_start idle-plain --from 10.78.100.11 --to 10.77.0.2:80 --count 80 --quiet
conns_done idle-plain
on "$CLIENT" sysctl -qw net.ipv4.tcp_timestamps=1
conns_start idle --from 10.78.100.2 --to 10.77.0.2:80 --count 80 --quiet
conns_done idle
conns_start talk --from 10.78.100.3 --to 10.77.0.2:80 --count 130 --quiet --talk 200
conns_done talk
fired 10.78.100.3/32 concurrent 'many that talk'

flood --from 10.79.100.1 --to 10.77.0.2:80 --count 60 >/dev/null
fired 10.79.100.1/32 half-open 'SYNs without an end'

conns_start new --from 10.78.100.4 --to 10.77.0.2:80 --count 500 --quiet --then close --rst --window 8
conns_done new
fired 10.78.100.4/32 new 'many short ones'

conns_start time-wait --from 10.78.100.5 --to 10.77.0.2:80 --count 60 --quiet --then close --rate 60
conns_done time-wait
fired 10.78.100.5/32 time-wait 'closed in good order'

conns_start close-wait --from 10.78.100.6 --to 10.77.0.2:81 --count 38 --quiet --then half-close \
	--rate 200
conns_done close-wait
fired 10.78.100.6/32 close-wait 'closed by the client, and not by the server'

conns_start fin-wait --from 10.78.100.7 --to 10.77.0.2:80 --count 50 --quiet
conns_done fin-wait
lab_mute fins 10.78.100.7 && lab_mute answers 10.78.100.7
conns_stop "$CONNS_PID"
fired 10.78.100.7/32 fin-wait 'a FIN that nobody acknowledges'

conns_start last-ack --from 10.78.100.8 --to 10.77.0.2:80 --count 25 --quiet
conns_done last-ack
lab_mute acks 10.78.100.8
conns_stop "$CONNS_PID"
fired 10.78.100.8/32 last-ack 'both have closed, and the last ACK is missing'

conns_start refused --from 10.78.100.9 --to 10.77.0.2:82 --count 60 --quiet --window 4
conns_done refused
fired 10.78.100.9/32 failed 'handshakes that are refused'

on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_syn_recv=2 net.ipv4.tcp_synack_retries=1
flood --from 10.79.100.2 --to 10.77.0.2:80 --count 36 >/dev/null
fired 10.79.100.2/32 failed 'handshakes that nobody finishes, when their time is over'

ip netns exec "$GUARD" "$LAB_TOOLS/lab-conns" --to 10.79.120.1:80 --targets 200 --count 200 --quiet \
	--timeout 60000 >"$LAB_DIR/fan-out" 2>&1 &
worm=$!
disown
fired total fan-out 'this host knocks at many doors'
said_who() {
	grep 'fan-out' "$LAB_DIR/guard.log" | grep 'lab-conns' | grep -w 'root' >/dev/null
}
check 'fan-out: the log names the port, the program and its user' wait_until 5 said_who
grep 'fan-out' "$LAB_DIR/guard.log" | head -n 2 | sed 's/^/# /'
kill "$worm"

fired 10.78.100.2/32 idle 'open, and nothing is said'
fired 10.78.100.11/32 idle 'nor without timestamps'

# The talkers have been open for longer than the idle ones; give a wrong answer its time, too.
sleep 2.5
bans_of >"$LAB_DIR/got"
printf '%s\n' "${wanted[@]}" | sort >"$LAB_DIR/want"
exactly() {
	diff "$LAB_DIR/want" "$LAB_DIR/got" | grep '^[<>]' | sed 's/^</# missing:/; s/^>/# too much:/'
	cmp -s "$LAB_DIR/want" "$LAB_DIR/got"
}
check "nothing else fires: ${#wanted[@]} pairs of source and limit" exactly
check 'the kernel holds nothing' equal "$(kernel_bans | wc -l)" 0
check 'no event was lost' equal "$(tg_value .events.lost status)" 0
tap_done
