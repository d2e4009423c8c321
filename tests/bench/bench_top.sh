#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench_top.sh BUILD [PAIRS]: what it costs to find the fullest sources among 100,000 sockets, against
# what is typed today. Sockets are made in a namespace of its own, from SOURCES addresses for each
# pair of processes; the ways take turns, the best of ROUNDS counts, and every way must
# come to the same counts. As root.
set -uo pipefail
LAB_BUILD=${1:?usage: bench_top.sh BUILD [PAIRS]}
PAIRS=${2:-3}
EACH=${EACH:-17000} # connections of one pair of processes, which have a limit of descriptors
SOURCES=${SOURCES:-1000}
ROUNDS=${ROUNDS:-7}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"

sockets() {
	local i

	lab_namespace "$GUARD" || return 1
	on "$GUARD" sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096
	CLIENT=$GUARD
	for ((i = 1; i <= PAIRS; i++)); do
		lab_serve "$GUARD" "127.0.0.1:800$i" || return 1
		conns_start "$i" --to "127.0.0.1:800$i" --from "127.$i.0.1" --sources "$SOURCES" --count "$EACH" \
			--window 1000 --quiet
		LAB_PATIENCE=120 conns_done "$i" || return 1
		grep -q "connected=$EACH " "$LAB_DIR/conns.$i" || return 1
	done
}

# Every source with its count, in one form: "ADDRESS COUNT".
all_by_tcpguard() {
	"$LAB_CLI" --socket /nonexistent top -n 0 --json | jq -r '.sources[] | "\(.source | rtrimstr("/32")) \(.total)"' | sort
}
# Listeners have no source: * or 0.0.0.0.
all_by_ss() { ss -tan | awk 'NR > 1 && $1 != "LISTEN" {sub(/:[^:]*$/, "", $5); ++y[$5]} END {for (w in y) print w, y[w]}' | sort; }
all_by_netstat() {
	netstat -nat | awk '/^tcp/ && $NF != "LISTEN" {sub(/:[^:]*$/, "", $5); ++y[$5]} END {for (w in y) print w, y[w]}' | sort
}

# The ways, as they are typed.
tcpguard_top() { "$LAB_CLI" --socket /nonexistent top; }
tcpguard_top_prefix() { "$LAB_CLI" --socket /nonexistent top --prefix 24 --state established; }
ss_sort() { ss -tan | awk '{print $5}' | sed 's/:[^:]*$//' | sort | uniq -c | sort -rn | head -n 20; }
ss_awk_sort() { ss -tan | awk 'NR > 1 {sub(/:[^:]*$/, "", $5); ++y[$5]} END {for (w in y) print y[w], w}' | sort -rn | head -n 20; }
netstat_sort() { netstat -nat | awk '{print $5}' | cut -d: -f1 | sort | uniq -c | sort -rn | head -n 20; }

# shellcheck source-path=SCRIPTDIR source=ways.sh
source "$(dirname "${BASH_SOURCE[0]}")/ways.sh"

if [[ ${BENCH_INSIDE:-} ]]; then
	for way in all_by_ss all_by_netstat; do
		diff <(all_by_tcpguard) <("$way") || exit 1
	done
	all_by_tcpguard | awk '{n += $2} END {print n " sockets of " NR " sources, counts equal; best of '"$ROUNDS"'"}'
	run_ways tcpguard_top tcpguard_top_prefix ss_sort ss_awk_sort netstat_sort
	command -v /usr/bin/time >/dev/null && /usr/bin/time -f 'tcpguard_top: %M KiB at most' \
		"$LAB_CLI" --socket /nonexistent top >/dev/null
	exit 0
fi
lab_begin
command -v netstat >/dev/null || tap_bail 'needs netstat (net-tools)'
sockets || tap_bail 'no sockets'
# In the namespace for good: entering it is not what is measured.
BENCH_INSIDE=1 on "$GUARD" "$0" "$LAB_BUILD"
