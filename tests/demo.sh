#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shows tcpguard at work, on two hosts made of network namespaces: what it promises, in plain
# words and with the figures of this run. Takes about a minute, and leaves nothing behind.
set -uo pipefail

case ${1:-} in
'') ;;
*)
	echo 'usage: sudo ./tests/demo.sh'
	[[ $1 == --help ]] && exit 0
	exit 2
	;;
esac
if ((EUID != 0)); then
	echo 'demo.sh: needs root, to make network namespaces and to install packages: sudo ./tests/demo.sh' >&2
	exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
top=$(dirname "$here")
LAB_BUILD=$top/build-demo
log=$top/build-log/demo.log
mkdir -p "$top/build-log" || exit 2
: >"$log"
# shellcheck source-path=SCRIPTDIR source=packages.sh
source "$here/packages.sh"
# shellcheck source-path=SCRIPTDIR source=lab/lab.sh
source "$here/lab/lab.sh"

limit=100
attacker=10.78.200.1
claims=()
failures=0

title() {
	printf '\n%s\n%s\n' "$1" "${1//?/-}"
}

say() {
	printf '  %s\n' "$*"
}

show() {
	sed 's/^/    /'
}

# claim STATUS TEXT: what the summary repeats.
claim() {
	local word=PASS

	if (($1 != 0)); then
		word=FAIL
		failures=$((failures + 1))
	fi
	claims+=("$word  $2")
	say "=> $word: $2"
}

give_up() {
	echo
	echo "The demo cannot go on: $*"
	[[ -s $LAB_DIR/guard.log ]] && {
		echo 'The daemon said:'
		tail -n 20 "$LAB_DIR/guard.log" | show
	}
	echo "Everything else that was said is in $log"
	exit 1
}

build() {
	[[ -f $LAB_BUILD/build.ninja ]] || meson setup "$LAB_BUILD" "$top" || return 1
	ninja -C "$LAB_BUILD"
}

step() {
	local start=$SECONDS

	printf '  %-42s' "$1 …"
	shift
	if ! "$@" >>"$log" 2>&1 </dev/null; then
		echo failed
		tail -n 40 "$log"
		exit 1
	fi
	echo "done in $((SECONDS - start)) s"
}

# Clients since the last time, in a sentence; a failed exchange counts against the claim.
tell_clients() {
	clients_report || give_up 'the clients do not answer'
	say "75 clients meanwhile: $CLIENTS_OK exchanges, $CLIENTS_FAILED failed," \
		"95 of 100 within $((CLIENTS_P95_US / 1000)).$((CLIENTS_P95_US % 1000 / 100)) ms"
	served=$((served + CLIENTS_OK))
	unserved=$((unserved + CLIENTS_FAILED))
}

host_state() {
	ip -o link
	ip route
	nft list ruleset 2>/dev/null
}

show_setting() {
	title '1. Two hosts, a server, a guard'
	step 'packages' packages_install "${packages_build[@]}" "${packages_lab[@]}" python3
	step 'build' build
	before=$(host_state)
	lab_init || exit 1
	lab_pair >>"$log" 2>&1 || give_up 'no network namespaces can be made here'
	LAB_IDLE=5 lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || give_up 'the server does not start'
	lab_mutes >>"$log" 2>&1 || give_up 'no packets can be held back here'
	# The example as it is, but for what cannot be watched in a minute.
	sed -e 's/^mode: observe/mode: enforce/' -e 's/concurrent: 200/concurrent: 100/' \
		-e 's/expire: [0-9]*m/expire: 15s/' "$top/policies/web.yaml" | guard_policy
	guard_start || give_up 'tcpguardd does not start'
	say 'A client host and a guarded server, joined by a cable. The policy is policies/web.yaml,'
	say 'enforced, with 100 connections for each source in place of 200, and bans of 15 seconds:'
	echo
	sed -n '/^policies:/,$p' "$LAB_DIR/etc/tcpguard.yaml" | grep -v '^ *\(#.*\)\?$' | show
}

show_clients() {
	title '2. Normal clients are served'
	LAB_PAUSE=200
	clients_start v4 10.77.0.2:80 10.78.1.1 50 32
	clients_start v6 '[fd77::2]:80' fd78:0:0:1::1 25 64
	say '50 clients over IPv4 and 25 over IPv6, each with an address of its own, connect,'
	say 'exchange a line and close, five times a second, from now to the end.'
	wait_until 20 clients_are_many || give_up 'the clients get nowhere'
	tell_clients
	claim $((CLIENTS_FAILED != 0 || CLIENTS_OK == 0)) 'normal clients are served'
}

clients_are_many() {
	tg_true '.states | add > 500' status
}

show_greedy() {
	local done_line delay

	title "3. One source opens 500 connections, the limit is $limit"
	conns_start greedy --from "$attacker" --to 10.77.0.2:80 --count 500 --rate 2000 --timeout 1000
	conns_done greedy || give_up 'the 500 connects do not end'
	done_line=$(grep DONE "$LAB_DIR/conns.greedy")
	delay=$(conns_delay greedy $limit)
	say "$attacker tried 500 connects, 2,000 a second: $(field connected <<<"$done_line") got through," \
		"$(field failed <<<"$done_line") got no answer."
	if [[ -n $delay ]]; then
		say "The first SYN without an answer was sent $delay ms after connection $((limit + 1)) was established"
		say '(both times taken by the client, on one clock; it sends a SYN every 0.5 ms).'
	fi
	wait_until 5 is_dropped "$attacker/32" && [[ -n $delay && ${delay%.*} -lt 1000 ]]
	claim $? "banned ${delay:-?} ms after it crossed the limit"
	kernel_holds "$attacker"
	claim $? 'the kernel holds the ban, with an end'
	tell_clients
	claim $((CLIENTS_FAILED != 0)) 'normal clients served while the source was banned'
}

show_flood() {
	local line sent passed limited

	title '4. A SYN flood from 12 sources that never answer'
	line=$(on "$CLIENT" "$LAB_TOOLS/lab-flood" --from 10.79.0.1 --sources 12 --to 10.77.0.2:80 \
		--dev eth0 --mac "$LAB_MAC" --count 20000 --rate 5000)
	sent=$(field sent <<<"$line")
	passed=$(on "$GUARD" conntrack -L -s 10.79.0.0/24 2>/dev/null | wc -l)
	limited=$(tg_value '[.bans[] | select(.action == "rate-limit" and .enforced)] | length' list)
	say "$sent SYNs in $(($(field ns <<<"$line") / 1000000)) ms, 5,000 a second. $passed of them became half-open" \
		'connections,'
	say "the rest were held back before they cost anything. Sources under a rate limit: $limited of 12."
	((limited == 12 && passed < sent / 5))
	claim $? "the flood is limited: $passed of $sent SYNs got through"
	tell_clients
	claim $((CLIENTS_FAILED != 0)) 'normal clients served during the flood'
}

is_flooded() {
	tg_true 'any(.bans[]; .source == "total" and .limit == "flood")' list
}

show_forged() {
	local line before_bans bans taken victim=10.78.66.6

	title '5. Forged packets ban nobody'
	before_bans=$(bans_of | grep -vc '^total ')
	line=$(flood --from 10.80.0.1 --sources 40000 --stride 32 --to 10.77.0.2:80 --count 40000 --rate 40000)
	wait_until 10 is_flooded
	bans=$(($(bans_of | grep -vc '^total ') - before_bans))
	say "$(field sent <<<"$line") SYNs, every one with another source. The service is reported as flooded;" \
		"sources banned for it: $bans."
	is_flooded && ((bans == 0))
	claim $? 'a flood from 40,000 forged sources is one state of the service, and not one ban'

	# What the guard answers to its name is lost, else it would undo the forgery.
	lab_mute answers $victim
	flood --from $victim --ack --to 10.77.0.2:80 --count 300 --rate 5000 >/dev/null
	wait_until 10 tg_true '.engine.witness_denied > 0' status
	taken=$(on "$GUARD" conntrack -L -p tcp -s $victim --state ESTABLISHED 2>/dev/null | wc -l)
	say "300 forged ACKs in the name of $victim: conntrack takes them for $taken connections, and the"
	say "limit is $limit. The sockets of the server know of none, so new connections are slowed down:"
	tg list | grep "$victim" | show
	on "$GUARD" nft flush set ip lab_mute answers
	((taken > limit)) && ! tg_true "any(.bans[]; .source == \"$victim/32\" and .action == \"drop\")" list &&
		connects $victim 10.77.0.2:80 5000
	claim $? 'forged connections drop nobody: who is named in them gets in'
	tell_clients
	claim $((CLIENTS_FAILED != 0)) 'normal clients served meanwhile'
}

show_operator() {
	title '6. What an operator sees now'
	say '$ tcpguard status'
	tg status | show
	echo
	say '$ tcpguard list'
	tg list | show
	echo
	say '$ nft list table inet tcpguard'
	on "$GUARD" nft list table inet tcpguard | show
}

show_end() {
	local start=$SECONDS

	title '7. The ban ends'
	kill "$CONNS_PID"
	say "$attacker has given up; the server has reset what it held. Waiting for the ban to expire …"
	wait_until 60 is_not_banned "$attacker/32"
	claim $? "the ban expired by itself ($((SECONDS - start)) s of waiting)"
	connects "$attacker" 10.77.0.2:80
	claim $? 'the source is let in again'
	tell_clients
	claim $((unserved != 0)) "$served exchanges of normal clients from beginning to end, $unserved failed"
}

show_nothing_left() {
	local tag=$LAB_TAG dir=$LAB_DIR daemon=$GUARD_PID

	title '8. Nothing is left behind'
	guard_stop TERM
	trap - EXIT
	lab_cleanup
	! ip netns list | grep "$tag" >/dev/null && [[ ! -e $dir && ! -e /etc/netns/$CLIENT ]] &&
		is_gone "$daemon" && [[ $(host_state) == "$before" ]]
	claim $? 'no namespace, process, file, rule or interface of the demo remains'
}

served=0
unserved=0
before=
echo 'tcpguard, shown on this machine'
show_setting
show_clients
show_greedy
show_flood
show_forged
show_operator
show_end
show_nothing_left

title 'Summary'
printf '  %s\n' "${claims[@]}"
echo
if ((failures)); then
	echo "$failures of ${#claims[@]} claims FAILED"
	exit 1
fi
echo "All ${#claims[@]} claims hold. Build log: ${log#"$top"/}"
