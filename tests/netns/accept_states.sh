#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `states` counts what this host's sockets are doing as `ss` does, in nine states made on purpose,
# and conntrack's beside it: from the daemon, from the kernel, or not at all, and says which.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: observe
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 100000, action: observe, expire: 1m}
EOP
lab_pair || tap_bail 'no lab'
lab_mutes || tap_bail 'nobody can be muted'
# What is made has to stand until it was counted.
on "$GUARD" sysctl -qw net.ipv4.tcp_synack_retries=10 net.ipv4.tcp_syn_retries=10
guard_start || tap_bail 'no daemon'
lab_serve "$GUARD" 10.77.0.2:80 '[::]:83' || tap_bail 'no server'
LAB_NO_ACCEPT=1 lab_serve "$GUARD" 10.77.0.2:81 || tap_bail 'no server that does not accept'
lab_serve "$CLIENT" 10.77.0.1:90 10.78.5.5:92 || tap_bail 'no server on the other side'
mv "$LAB_DIR/server.$CLIENT" "$LAB_DIR/server.closes"
LAB_NO_ACCEPT=1 lab_serve "$CLIENT" 10.77.0.1:91 || tap_bail 'no server that does not close'

# A listener of both families, which the servers of the lab are not.
cat >"$LAB_DIR/both.py" <<'EOP'
import socket

server = socket.create_server(("::", 84), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
print("READY", flush=True)
kept = []
while True:
    kept.append(server.accept())
EOP
: >"$LAB_DIR/both"
ip netns exec "$GUARD" python3 "$LAB_DIR/both.py" >"$LAB_DIR/both" 2>&1 &
disown
wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/both" || tap_bail 'no listener of both families'

# conns NAME OPTION…: from the other side; calls NAME OPTION…: from this host.
conns() {
	conns_start "$@" --quiet
	conns_done "$1"
}

calls() {
	CLIENT=$GUARD conns_start "$@" --quiet
	conns_done "$1"
}

conns established --from 10.78.1.1 --to 10.77.0.2:80 --count 40
conns mapped --from 10.78.1.2 --to 10.77.0.2:84 --count 8
conns ipv6 --from fd78::1:7 --to '[fd77::2]:83' --count 11
calls time-wait --to 10.77.0.1:90 --count 15 --then close
conns close-wait --from 10.78.1.3 --to 10.77.0.2:81 --count 12 --then half-close
calls fin-wait-2 --to 10.77.0.1:91 --count 9 --then half-close
conns last-ack --from 10.78.1.4 --to 10.77.0.2:80 --count 6
lab_mute acks 10.78.1.4
conns_stop "$CONNS_PID"
calls fin-wait-1 --to 10.78.5.5:92 --count 5
lab_mute answers 10.78.5.5
conns_stop "$CONNS_PID"
flood --from 10.79.1.1 --to 10.77.0.2:80 --sources 50 --count 50 >/dev/null
CLIENT=$GUARD conns_start syn-sent --to 10.79.120.1:5432 --count 7 --quiet --timeout 600000

has() {
	tg_true "$@" states
}

made='.states == {"listen": 4, "syn-sent": 7, "syn-recv": 50, "established": 59, "fin-wait-1": 5,
	"fin-wait-2": 9, "closing": 0, "time-wait": 15, "close-wait": 12, "last-ack": 6, "close": 0}'
check 'nine states, exactly as many as were made' wait_until "$LAB_PATIENCE" has "$made"
check 'and in all' has '.total == 167 and .schema == 1'

by_ss() {
	on "$GUARD" ss -Htan | awk '{++count[$1]} END {for (state in count) print state, count[state]}' |
		sed 's/^ESTAB /ESTABLISHED /' | tr '[:upper:]' '[:lower:]' | sort
}

by_tcpguard() {
	tg_value '.states | to_entries[] | select(.value > 0) | "\(.key) \(.value)"' states | sort
}

as_ss_says() {
	diff <(by_ss) <(by_tcpguard)
}
check 'as ss counts them' wait_until 5 as_ss_says

rows() {
	tg_value "$1" states --by "$2" "${@:3}"
}

check 'by source: IPv4 as it is, also of a dual-stack listener; IPv6 by its /64' equal \
	"$(rows '.groups[] | select(.states.established > 0) | "\(.source) \(.states.established)"' source |
		head -n 3 | xargs)" '10.78.1.1/32 40 fd78::/64 11 10.78.1.2/32 8'
check 'by source: the forged ones, each with its own' equal \
	"$(rows '"\(.groups | length) \(.others.groups) \(.others.total) \(.total)"' source --state syn-recv \
		-n 5)" '5 45 45 50'
printf '10.78.1.1 greedy.example\n10.78.1.2 %s\n' "trusted.example.$(printf 'x%.0s' {1..50}).evil.example" \
	>"/etc/netns/$GUARD/hosts"
check 'by source: names, if they are wanted' equal \
	"$(tg_value '.groups[] | select(.source == "10.78.1.1/32" or .source == "fd78::/64") | .name' states --by source --resolve | xargs)" \
	'greedy.example null'
check 'of a long one the end' quietly eval 'tg states --by source --resolve | grep "^10.78.1.2 ..[x]*.evil.example  "'
check 'by port: ours by the listener, those of others by their port' equal \
	"$(rows '[.groups[] | "\(.kind) \(.port) \(.total)"] | sort | join(", ")' port)" \
	'in 80 97, in 81 13, in 83 12, in 84 9, out 5432 7, out 90 15, out 91 9, out 92 5'
check 'by process: who does not accept, and who calls' equal \
	"$(rows '[.groups[] | select(.states["syn-sent"] > 0) | .process] | join(" ")' process)" lab-conns
check 'by process: nobody has what is half-open, over or orphaned' equal \
	"$(rows '.groups[] | select(.kind == "kernel") | .states["syn-recv"], .states["time-wait"]' process |
		xargs)" '50 15'
check 'by user: root' equal "$(rows '[.groups[] | select(.kind == "user") | .user] | join(" ")' user)" root
check 'one port: on this side or the other' equal \
	"$(tg_value '"\(.total) \(.states["syn-sent"])"' states --port 5432) $(tg_value .total states --port 81)" \
	'7 7 13'
check 'some states' equal "$(tg_value '.states | tojson' states --state FIN_WAIT2,time-wait)" \
	'{"fin-wait-2":9,"time-wait":15}'

# Conntrack, beside it.
check 'the daemon tells of conntrack' has \
	'.conntrack.from == "daemon" and .conntrack.closing_followed and .conntrack.states["syn-recv"] >= 50'
elsewhere() {
	on "$CLIENT" "$LAB_CLI" --socket "$LAB_DIR/control.sock" states --json >"$LAB_DIR/elsewhere" &&
		jq -e '.conntrack.from != "daemon"' "$LAB_DIR/elsewhere" >/dev/null
}
check 'but not of another namespace' elsewhere
untracked() {
	jq -e '(.conntrack.total // 0) == 0' "$LAB_DIR/elsewhere" >/dev/null
}
check 'which need not track anything' untracked
check 'a port is asked of the kernel' equal \
	"$(tg_value '"\(.conntrack.from) \(.conntrack.states["syn-sent"])"' states --port 5432)" 'kernel 7'
guard_stop TERM

by_conntrack() {
	on "$GUARD" conntrack -L -p tcp 2>/dev/null | awk '{++count[$4]} END {for (state in count) print state, count[state]}' |
		tr '[:upper:]_' '[:lower:]-' | sort
}

as_conntrack_says() {
	diff <(by_conntrack) \
		<(tg_value '.conntrack.states | to_entries[] | select(.value > 0) | "\(.key) \(.value)"' states | sort)
}
# The daemon's table, and with it the rule that has flows tracked, is gone; the flows are not.
check 'without it, the kernel does' has '.conntrack.from == "kernel" and .conntrack.total > 100'
check 'as conntrack -L counts them' wait_until 5 as_conntrack_says

# Without privilege: the sockets are the same, and what cannot be seen is said.
chmod 755 "$LAB_DIR"
nobody() {
	on "$GUARD" setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all "$LAB_CLI" \
		--socket "$LAB_DIR/control.sock" states "$@"
}
nobody_says() {
	nobody --json | jq -e "$1" >/dev/null
}
check 'nobody sees the same sockets' nobody_says '.states["close-wait"] == 12 and .states["syn-recv"] == 50'
check 'and that it may not ask for conntrack' nobody_says \
	'.conntrack.from == null and .conntrack.error == "Operation not permitted"'
nobody | grep '^conntrack: unknown' | sed 's/^/# /'
hidden() {
	nobody --by process >"$LAB_DIR/hidden" && grep '^(hidden): ' "$LAB_DIR/hidden" >/dev/null
}
check 'and that it may not look into processes' hidden

# How it is used.
again() {
	tg states --watch 100ms 2>/dev/null | head -n 40 >"$LAB_DIR/watched"
	(($(grep -c '^STATE ' "$LAB_DIR/watched") >= 2))
}
check 'watch: again and again, until nobody reads' again
wrong() {
	tg states "$@" >/dev/null 2>"$LAB_DIR/wrong"
	equal $? 2
}
check 'no such state' wrong --state established,gone
check 'it is named' quietly grep -F "'gone'" "$LAB_DIR/wrong"
check 'no such grouping' wrong --by colour
check 'no such port' wrong --port 65536
check 'no rows' wrong --by port -n 0
check 'no operand without its option' wrong 5s
check 'JSON is not repeated' wrong --json --watch
check 'names are of sources' wrong --by port --resolve
narrow() {
	tg states "$@" | awk 'length > 80 {print "# too wide: " $0; wide = 1} END {exit wide}'
}
check '80 columns' narrow
check '80 columns by source' narrow --by source
check '80 columns with names' narrow --by source --resolve
check '80 columns by process' narrow --by process
tg states | sed 's/^/# /'
tg states --by source -n 4 | sed 's/^/# /'
tg states --by process | sed 's/^/# /'
tap_done
