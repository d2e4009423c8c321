#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bench_states.sh BUILD [PAIRS]: what it costs to count 100,000 sockets by state, against what is
# typed today. Sockets are made in a namespace of its own; the ways take turns, the best of
# ROUNDS counts, and every way must come to the same counts. As root.
set -uo pipefail
LAB_BUILD=${1:?usage: bench_states.sh BUILD [PAIRS]}
PAIRS=${2:-3}
EACH=${EACH:-17000} # connections of one pair of processes, which have a limit of descriptors
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
		conns_start "$i" --to "127.0.0.1:800$i" --from "127.0.1.$i" --count "$EACH" --window 1000 --quiet
		LAB_PATIENCE=120 conns_done "$i" || return 1
		grep -q "connected=$EACH " "$LAB_DIR/conns.$i" || return 1
	done
}

by_tcpguard() { "$LAB_CLI" --socket /nonexistent states --json | jq -r '.states | to_entries[] | "\(.key) \(.value)"'; }

# Names as tcpguard has them.
named() {
	sed 's/ESTAB\(LISHED\)\? /established /; s/LISTEN /listen /; s/TIME[-_]WAIT /time-wait /' | sort
}

# The ways, as they are typed.
tcpguard_states() { "$LAB_CLI" --socket /nonexistent states; }
tcpguard_by_source() { "$LAB_CLI" --socket /nonexistent states --by source; }
tcpguard_by_process() { "$LAB_CLI" --socket /nonexistent states --by process; }
ss_by_process() { ss -tanp | grep -o 'users:.*' | sort | cut -d, -f1,2 | uniq -c | sort -rn | head -n 20; }
ss_awk() { ss -tan | awk 'NR > 1 {++y[$1]} END {for (w in y) print w, y[w]}'; }
netstat_awk() { netstat -ant | awk '/^tcp/ {++y[$NF]} END {for (w in y) print w, y[w]}'; }
netstat_articles() { netstat -an | awk '/^tcp/ {++y[$NF]} END {for (w in y) print w, y[w]}'; }
ss_by_source() { ss -tan | awk '{print $5}' | sed 's/:[^:]*$//' | sort | uniq -c | sort -rn | head -n 20; }

# shellcheck source-path=SCRIPTDIR source=ways.sh
source "$(dirname "${BASH_SOURCE[0]}")/ways.sh"

if [[ ${BENCH_INSIDE:-} ]]; then
	for way in ss_awk netstat_awk; do
		diff <(by_tcpguard | grep -v ' 0$' | sort) <("$way" | named) || exit 1
	done
	by_tcpguard | awk '{n += $2} END {print n, "sockets, counts equal; best of '"$ROUNDS"'"}'
	run_ways tcpguard_states ss_awk netstat_awk netstat_articles
	run_ways tcpguard_by_source ss_by_source
	run_ways tcpguard_by_process ss_by_process
	exit 0
fi
lab_begin
command -v netstat >/dev/null || tap_bail 'needs netstat (net-tools)'
sockets || tap_bail 'no sockets'
# In the namespace for good: entering it is not what is measured.
BENCH_INSIDE=1 on "$GUARD" "$0" "$LAB_BUILD"
