#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tcpguard metrics`: numbers of a daemon that really bans, told as Prometheus reads them, on a
# terminal and as a file for node_exporter; never a label by address.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=../packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"
lab_begin
UNPACKED=$(dirname "${BASH_SOURCE[0]}")/../../build-packages
packages_unpack "$UNPACKED" prometheus || tap_bail 'no Prometheus to be had'
PROMTOOL=$(realpath "$UNPACKED")/usr/bin/promtool

guard_policy <<'POLICY'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
      new-per-ip: {new: 1000/10s, action: rate-limit, to: 5/1s, expire: 1m}
  quiet:
    mode: observe
    match: {ports: [81]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
POLICY
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# sample NAME{LABELS}: its value on a fresh page
sample() {
	tg metrics | awk -v name="$1" '$1 == name { print $2 }'
}

# shows NAME{LABELS} VALUE
shows() {
	[[ $(sample "$1") == "$2" ]]
}

promtool_is_content() {
	"$PROMTOOL" check metrics <"$1"
}

check 'a daemon without a ban' shows 'tcpguard_decisions_total{policy="web",limit="open-per-ip",decision="ban"}' 0
conns_start many --from 10.78.1.2 --to 10.77.0.2:80 --count 60 --timeout 300 --quiet
conns_done many
check 'a source is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.1.2/32
conns_start seen --from 10.78.1.3 --to 10.77.0.2:81 --count 30 --quiet
conns_done seen
check 'one is only observed' wait_until "$LAB_PATIENCE" shows \
	'tcpguard_decisions_total{policy="quiet",limit="open-per-ip",decision="observe"}' 1
check 'that one is no ban' shows 'tcpguard_decisions_total{policy="quiet",limit="open-per-ip",decision="ban"}' 0
check 'the first is one' shows 'tcpguard_decisions_total{policy="web",limit="open-per-ip",decision="ban"}' 1
check 'the sockets proved it' shows 'tcpguard_decisions_total{policy="web",limit="open-per-ip",decision="prove"}' 1
check 'it is in force' shows 'tcpguard_limit_bans{policy="web",limit="open-per-ip",state="enforced"}' 1
check 'the other is observed' wait_until "$LAB_PATIENCE" shows 'tcpguard_limit_bans{policy="quiet",limit="open-per-ip",state="observed"}' 1
check 'as a drop' shows 'tcpguard_bans_by_action{action="drop"}' 1
tg ban 10.78.7.0/24 --for 10m >/dev/null
check 'a ban by hand' shows 'tcpguard_decisions_total{policy="hand",limit="operator",decision="ban"}' 1
tg unban 10.78.7.0/24 >/dev/null
check 'and lifted' shows 'tcpguard_decisions_total{policy="hand",limit="operator",decision="lift"}' 1
check 'the daemon is up' shows tcpguard_up 1
check 'its mode' shows 'tcpguard_mode{mode="enforce"}' 1

tg metrics >"$LAB_DIR/page"
check 'promtool finds nothing wrong' promtool_is_content "$LAB_DIR/page"
check 'no address on the page' equal "$(grep -cE '10\.78\.|fd78:' "$LAB_DIR/page")" 0
page_value() {
	awk -v name="$1" '$1 == name { print $2 }' "$LAB_DIR/page"
}
check 'transactions were timed, all of them' test "$(page_value tcpguard_kernel_transaction_duration_seconds_count)" -ge 3
check 'in buckets' equal "$(page_value 'tcpguard_kernel_transaction_duration_seconds_bucket{le="+Inf"}')" \
	"$(page_value tcpguard_kernel_transaction_duration_seconds_count)"
check 'as many events as status says' test "$(page_value tcpguard_events_received_total)" -le "$(tg_value .events.received status)"

# Whatever the daemon counts is told, but for what is no number to watch.
cat >"$LAB_DIR/untold.py" <<'PY'
import re, socket, sys

rows = set(re.findall(r'"(\w+)", "(\w+)", (?:NULL|"[^"]*"), (?:NULL|"[^"]*"), \w+}', open(sys.argv[2]).read()))
whole = {"states", "reasons", "actions", "transaction", "limit"}
known = {("status", key) for key in "version pid mode_from health uptime confirm_in closing_followed".split()}
known |= {("feed", key) for key in "tells why since".split()}
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(20)
peer.connect(sys.argv[1])
peer.sendall(b"metrics\n")
for line in peer.makefile():
    name, *fields = line.split()
    for key in (field.split("=")[0] for field in fields):
        if name not in whole and (name, key) not in rows | known:
            print(name, key)
PY
check 'whatever is counted is told' equal "$(on "$GUARD" python3 "$LAB_DIR/untold.py" "$LAB_DIR/control.sock" \
	"$(dirname "${BASH_SOURCE[0]}")/../../src/client/metrics.c")" ''

sed -i 's/concurrent: 20/concurrent: 25/; s/new-per-ip:/fresh-per-ip:/' "$LAB_DIR/etc/tcpguard.yaml"
tg reload >/dev/null
check 'a reload keeps the counts' shows 'tcpguard_decisions_total{policy="web",limit="open-per-ip",decision="ban"}' 1
check 'and knows the new limit' shows 'tcpguard_decisions_total{policy="web",limit="fresh-per-ip",decision="ban"}' 0
check 'of the old one nothing is told' equal "$(tg metrics | grep -c '"new-per-ip"')" 0

# The file: there at once as a whole, for everybody to read, and nothing left beside it.
mkdir "$LAB_DIR/textfile"
check 'a file for node_exporter' tg metrics --textfile "$LAB_DIR/textfile/tcpguard.prom"
check 'for everybody' equal "$(stat -c %a "$LAB_DIR/textfile/tcpguard.prom")" 644
check 'it is a page' promtool_is_content "$LAB_DIR/textfile/tcpguard.prom"
first=$(stat -c %i "$LAB_DIR/textfile/tcpguard.prom")
tg metrics --textfile "$LAB_DIR/textfile/tcpguard.prom"
check 'the next one is another file' test "$(stat -c %i "$LAB_DIR/textfile/tcpguard.prom")" != "$first"
check 'alone' equal "$(ls -A "$LAB_DIR/textfile")" tcpguard.prom
exits() {
	local wanted=$1

	shift
	tg "$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err"
	equal $? "$wanted"
}
check 'a directory that is not there' exits 2 metrics --textfile "$LAB_DIR/nowhere/x.prom"
check 'says so' grep -q 'cannot write .*nowhere/x.prom: No such file' "$LAB_DIR/err"
check 'a directory in its place' exits 2 metrics --textfile "$LAB_DIR/textfile"
check 'leaves nothing' equal "$(find "$LAB_DIR" -maxdepth 1 -name 'textfile.*')" ''
check 'an empty name' exits 2 metrics --textfile ''
check 'an operand' exits 2 metrics web

guard_stop
check 'without a daemon' exits 3 metrics
check 'nothing is printed' equal "$(cat "$LAB_DIR/out")" ''
check 'the file says so' exits 3 metrics --textfile "$LAB_DIR/textfile/tcpguard.prom"
check 'and nothing else' equal "$(grep -v '^#' "$LAB_DIR/textfile/tcpguard.prom")" 'tcpguard_up 0'
check 'as promtool wants it' promtool_is_content "$LAB_DIR/textfile/tcpguard.prom"
tap_done
