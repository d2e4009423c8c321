#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What conntrack tells: of flows to guarded ports what their limits need and no more, of all others
# everything, so that another listener misses nothing; and everything if the policy says so.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 10.77.0.2:82 10.77.0.2:83 || tap_bail 'no server'

policy() {
	guard_policy <<-EOP
		version: 1
		$1
		policies:
		  begun:
		    match: {ports: [80]}
		    limits: {new: {new: 1000/1s, action: observe, expire: 1m}}
		  shaken:
		    match: {ports: [81]}
		    limits: {half-open: {half-open: 1000, action: observe, expire: 1m}}
		  whole:
		    match: {ports: [82], addresses: [10.77.0.0/24]}
		    limits: {open: {concurrent: 1000, action: observe, expire: 1m}}
	EOP
}

# listen NAME: another listener, into $LAB_DIR/heard.NAME.
listen() {
	heard=$LAB_DIR/heard.$1
	ip netns exec "$GUARD" conntrack -E -p tcp -b 8388608 >"$heard" 2>/dev/null &
	listener=$!
	disown
	# Nothing tells that it listens but what it hears.
	wait_until "$LAB_PATIENCE" eval \
		'connects 10.78.0.9 10.77.0.2:83 3000 && grep "src=10.78.0.9 .*dport=83 " "$heard" >/dev/null'
}

deaf() {
	kill "$listener"
	wait_until "$LAB_PATIENCE" is_gone "$listener"
}

# told PORT: the kinds of messages about a connection that was made and closed, in their order.
told() {
	on "$CLIENT" "$LAB_TOOLS/lab-conns" --from "10.78.1.$1" --to "10.77.0.2:$1" --timeout 3000 --hold 0 \
		>/dev/null 2>&1
	wait_until 5 eval 'on "$GUARD" conntrack -L -p tcp --orig-port-dst "$1" 2>/dev/null | grep TIME_WAIT >/dev/null'
	on "$GUARD" conntrack -D -p tcp --orig-port-dst "$1" >/dev/null 2>&1
	wait_until 5 eval 'grep "DESTROY.*src=10.78.1.$1 " "$heard" >/dev/null'
	sed -n "s/^ *\[\([A-Z]*\)\] *tcp *6 *\([0-9]* *\([A-Z_]*\)\)\?.* src=10.78.1.$1 dst=.*/\1 \3/p" "$heard" |
		sed 's/^NEW SYN_SENT$/new/; s/^UPDATE SYN_RECV$/answer/; s/^UPDATE ESTABLISHED$/finished/
			s/^DESTROY.*/end/; s/^UPDATE .*/closing/' | uniq | xargs
}

policy ''
guard_start || tap_bail 'no daemon'
check 'another listener listens' listen masked
check 'new: that it began, was finished, and is gone' equal "$(told 80)" 'new finished end'
check 'half-open: and the answer' equal "$(told 81)" 'new answer finished end'
check 'concurrent: everything' equal "$(told 82)" 'new answer finished closing end'
check 'and so of a port that no policy is about' equal "$(told 83)" 'new answer finished closing end'
check 'which status says' tg_true '.closing_followed | not' status
deaf
guard_stop

policy 'event-mask: none'
guard_start || tap_bail 'no daemon'
check 'without a mask' listen free
check 'everything of every port' equal "$(told 80) $(told 81)" \
	'new answer finished closing end new answer finished closing end'
check 'which status says, too' tg_true .closing_followed status
deaf

# The kernel may be set to tell of nothing but what a rule asks for.
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_events=0
check 'of nothing at all, if the kernel is set so' wait_until "$LAB_PATIENCE" tg_true \
	'any(.degraded[]; startswith("events: "))' status
policy ''
quietly tg reload
check 'with masks it does not matter' tg_true 'all(.degraded[]; startswith("events: ") | not)' status
received=$(tg_value .events.received status)
connects 10.78.2.1 10.77.0.2:83 3000
connects 10.78.2.1 10.77.0.2:80 3000
told_of() {
	tg_true "any(.sources[]; .source == \"10.78.2.1/32\" and .policy == \"begun\" and .total == 1)" top --count 0
}
check 'guarded ports tell' wait_until 5 told_of
check 'and they alone' at_most "$(($(tg_value .events.received status) - received))" 3
guard_stop
tap_done
