#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `top`: the sources of this host's sockets, as many as `ss` counts, by any state, prefix and port; of
# conntrack; as the daemon counts; what is banned and how far each is from its nearest limit. And
# live on a terminal, which is as it was afterwards, whatever ended it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
PTY=$(realpath "$(dirname "${BASH_SOURCE[0]}")/top_pty.py")
EDGE=${PTY%/tests/*}/policies/edge.yaml
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 50, action: observe, expire: 1m}
      new-per-net: {new: 1000/10s, source: {ipv4: 24, ipv6: 48}, action: observe, expire: 1m}
EOP
lab_pair || tap_bail 'no lab'
on "$GUARD" sysctl -qw net.ipv4.tcp_synack_retries=10
lab_serve "$GUARD" 10.77.0.2:80 '[::]:83' || tap_bail 'no server'
lab_serve "$CLIENT" 10.77.0.1:90 || tap_bail 'no server on the other side'

conns() {
	conns_start "$@" --quiet
	conns_done "$1"
}

# Without a daemon.
conns some --from 10.78.1.1 --to 10.77.0.2:80 --count 40
conns few --from 10.78.1.2 --to 10.77.0.2:80 --count 7
conns six --from fd78::1:7 --to '[fd77::2]:83' --count 11
CLIENT=$GUARD conns_start over --to 10.77.0.1:90 --count 15 --then close --quiet
conns_done over
flood --from 10.79.1.1 --to 10.77.0.2:80 --sources 30 --count 30 >/dev/null

rows() {
	tg_value '.sources[] | "\(.source) \(.total)"' top "$@"
}

by_ss() {
	on "$GUARD" ss -Htan state connected | awk '{print $5}' | sed 's/:[^:]*$//' | grep -v : | sort | uniq -c |
		awk '{print $2 "/32 " $1}' | sort
}

as_ss_says() {
	diff <(by_ss) <(rows -n 0 | grep -v : | sort)
}
check 'each IPv4 source as often as ss has it' wait_until "$LAB_PATIENCE" as_ss_says
check 'the fullest first' equal "$(rows -n 3 | xargs)" '10.78.1.1/32 40 10.77.0.1/32 15 fd78::/64 11'
check 'what is left out is known' equal "$(tg_value '"\(.total) \(.sources_total) \(.not_ranked)"' top -n 3)" '103 34 0'
check 'without a daemon it says so' equal \
	"$(tg_value '"\(.from) \(.note | test("no daemon answers"))"' top)" 'sockets true'
check 'a state' equal "$(rows --state time-wait | xargs)" '10.77.0.1/32 15'
check 'by prefix' equal "$(rows --prefix 24 --state syn-recv,established | xargs)" \
	'10.78.1.0/24 47 10.79.1.0/24 30 fd78::/64 11'
check 'by prefix of IPv6, too' equal "$(rows --prefix 8,128 --port 83 | xargs)" 'fd78::1:7/128 11'
check 'a port' equal "$(rows --port 90 | xargs)" '10.77.0.1/32 15'
check 'all of it, as the issue types it' equal "$(rows --state time-wait --prefix 24 --port 90 -n 20 | xargs)" '10.77.0.0/24 15'
check 'by another column' equal "$(rows --sort half-open --prefix 24 -n 1 | xargs)" '10.79.1.0/24 30'

# Names: what the hosts file knows; the lab's name server never answers.
printf '10.78.1.1 greedy.example\n10.77.0.1 %s\n' "trusted.example.$(printf 'x%.0s' {1..50}).evil.example" \
	>"/etc/netns/$GUARD/hosts"
check 'no name is asked for' equal "$(tg_value '.sources[0] | has("name")' top)" false
check 'unless somebody wants them' equal "$(tg_value '.sources[:3] | map(.name // "-" | .[-14:]) | join(" ")' top --resolve)" \
	'greedy.example x.evil.example -'
check 'behind the row' quietly eval 'tg top --resolve | grep "^10.78.1.1 .*  (greedy.example)$"'
check 'a network has none' equal "$(tg_value '.sources[0].name' top --resolve --prefix 24)" null

# New ones: those that were not there at the look before.
: >"$LAB_DIR/looks"
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" top --every 100ms --port 80 >"$LAB_DIR/looks" 2>&1 &
LOOKS_PID=$!
disown
wait_until "$LAB_PATIENCE" grep -q '^10.78.1.1 ' "$LAB_DIR/looks"
conns newcomer --from 10.78.1.3 --to 10.77.0.2:80 --count 5
check 'new ones show between two looks' wait_until "$LAB_PATIENCE" \
	grep -qE '^10\.78\.1\.3 .* [1-9][0-9]*$' "$LAB_DIR/looks"
check 'and are not new any more' wait_until "$LAB_PATIENCE" grep -qE '^10\.78\.1\.3  *5 .* -$' "$LAB_DIR/looks"
kill "$LOOKS_PID"
check 'two looks for a table by what is new' tg_true '.sources[0].new_rate != null' top --sort new --port 80
check 'one look does not know' equal "$(tg_value '.sources[0].new_rate' top)" null

# For people.
narrow() {
	tg top "$@" | awk 'length > 80 {print "# too wide: " $0; wide = 1} END {exit wide}'
}
piped() {
	tg top "$@" >"$LAB_DIR/piped" && ! grep -q $'\033' "$LAB_DIR/piped" &&
		grep -q '^10.78.1.1  *40 ' "$LAB_DIR/piped"
}
check 'piped: one plain table' piped --from sockets
check '80 columns' narrow --from sockets
tg top --from sockets -n 4 | sed 's/^/# /'
again() {
	tg top --every 100ms 2>/dev/null | head -n 60 >"$LAB_DIR/again"
	(($(grep -c '^SOURCE ' "$LAB_DIR/again") >= 2))
}
check 'piped with --every: again and again, until nobody reads' again
for scenario in quit interrupt terminate hangup stop resize keys colors; do
	check "on a terminal: $scenario" on "$GUARD" python3 "$PTY" "$scenario" \
		"$LAB_CLI" --socket "$LAB_DIR/control.sock" top
done

# What is wrong.
wrong() {
	tg top "$@" >/dev/null 2>"$LAB_DIR/wrong"
	equal $? 2
}
check 'no such state' wrong --state gone
check 'who listens has no source' wrong --state listen
check 'no such prefix' wrong --prefix 33
check 'nor one of IPv6 alone' wrong --prefix 24,129
check 'no such port' wrong --port 0
check 'no such column' wrong --sort colour
check 'nobody to ask' wrong --from netstat
check 'the daemon has no ports' wrong --from daemon --port 80
check 'too many' wrong -n 501
check 'JSON is not repeated' wrong --json --every 2s
absent() {
	tg top --from daemon >/dev/null 2>&1
	equal $? 3
}
check 'the daemon alone, and there is none' absent

# With one.
guard_start || tap_bail 'no daemon'
conns more --from 10.78.1.1 --to 10.77.0.2:80 --count 5
counted() {
	tg_true '.from == "daemon" and any(.sources[]; .source == "10.78.1.1/32" and .policy == "web" and
		.states.established >= 5)' top
}
check 'the daemon is asked' wait_until "$LAB_PATIENCE" counted
near() {
	tg_true 'any(.sources[]; .source == "10.78.1.1/32" and .ban == null and .nearest.policy == "web" and
		.nearest.limit == "open-per-ip" and .nearest.measured >= 5 and .nearest.threshold == 50)' top "$@"
}
check 'how far it is from its nearest limit' wait_until "$LAB_PATIENCE" near
check 'of this host'"'"'s sockets, too' near --port 80
wide() {
	tg_true '[.sources[] | select(.source == "10.78.1.0/24")][0].nearest.limit == "new-per-net"' top --prefix 24
}
check 'a network: only limits that count it whole' wide
tg ban 10.78.1.2 --for 10m >/dev/null
is_said() {
	tg_true 'any(.sources[]; .source == "10.78.1.2/32" and .ban.action == "drop" and .ban.enforced and
		.ban.expires_in > 500)' top --port 80
}
check 'what is banned' is_said
inside() {
	tg top --port 80 --prefix 24 | grep '^10.78.1.0/24 .* 1 banned in it' >/dev/null
}
check 'a network with a banned one in it' inside
sorted() {
	tg_value '.sources[].states | .established' top --sort established >"$LAB_DIR/sorted" &&
		sort -rnc "$LAB_DIR/sorted"
}
check 'the daemon sorts, too' sorted
asked() {
	printf 'near sources=%s\n' "$1" | on "$GUARD" timeout 10 python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read())
print(s.makefile().read())' "$LAB_DIR/control.sock" | grep "$2" >/dev/null
}
check 'a request that is none is refused' asked 192.0.2.1,nonsense '^error code=2'
check 'and one of too many' asked "$(printf '10.0.0.%d/32,' {1..64})10.0.1.1/32" '^error code=2'
check 'flows of conntrack' tg_true '.from == "conntrack" and any(.sources[]; .source == "10.78.1.1/32" and .total >= 5)' \
	top --from conntrack
tg ban 10.78.1.1 --for 10m >/dev/null
check 'on a terminal: names' on "$GUARD" python3 "$PTY" named "$LAB_CLI" --socket "$LAB_DIR/control.sock" top --port 80 --resolve
check 'on a terminal: banned' on "$GUARD" python3 "$PTY" banned "$LAB_CLI" --socket "$LAB_DIR/control.sock" top --port 80
# The other tables that people read: within a terminal, and whole where it is none.
tg ban 2001:db8:aaaa:bbbb::/64 --for 10m --action rate-limit --reason "$(printf 'loud %.0s' {1..18})" >/dev/null
within() {
	on "$GUARD" python3 "$PTY" shown "$LAB_CLI" --socket "$LAB_DIR/control.sock" "$@" >"$LAB_DIR/within" &&
		awk 'length > 80 {print "# too wide: " $0; wide = 1} END {exit wide}' "$LAB_DIR/within"
}
words() {
	tr -s ' \n' '\n'
}
# Some figures move on.
same_words() {
	diff <(words <"$LAB_DIR/within" | tr -d 0-9) <(tg "$@" | words | tr -d 0-9)
}
check 'list on a terminal: 80 columns' within list
check 'and all words' same_words list
check 'piped: a line for each' equal "$(tg list | grep -c 'loud loud')" 1
check 'status on a terminal: 80 columns' within status
sed 's/^/# /' "$LAB_DIR/within"
check 'events on a terminal: 80 columns' within events
check 'and all words' same_words events
check 'check on a terminal: 80 columns' within --config "$EDGE" check
check 'and all words' same_words --config "$EDGE" check
tg top -n 4 | sed 's/^/# /'
tg top --port 80 -n 4 | sed 's/^/# /'
tap_done
