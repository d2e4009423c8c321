#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh TCPGUARD [--write]
# A trace that was recorded in the lab decides what it is known to decide: lab.out and its like, but
# for the speed of the machine. --write makes them anew.
set -uo pipefail
tool=$(realpath "$1") || exit 2
write=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
number=0
failed=0

# case_of NAME STATUS OPTION…
case_of() {
	local name=$1 want=$2 got status verdict=ok

	shift 2
	got=$("$tool" simulate "$@" lab.trace 2>&1)
	status=$?
	got=$(sed -E 's/, replayed at [0-9]+ events.s//; /"events_per_second"/d; s/"events_per_second": ?[0-9]+,? ?//' <<<"$got")
	[[ $write == --write ]] && printf '%s\n' "$got" >"$name.out"
	number=$((number + 1))
	if ((status != want)) || ! diff "$name.out" - <<<"$got" | sed 's/^/# /'; then
		echo "# status $status, wanted $want"
		verdict='not ok'
		failed=1
	fi
	echo "$verdict $number - $name"
}

case_of strict 0 --policy strict.yaml
case_of loose 0 --policy loose.yaml
case_of real 0 --policy loose.yaml --assume-real
case_of json 0 --policy strict.yaml --json
case_of compare 1 --policy strict.yaml --compare loose.yaml
case_of compare-json 1 --policy strict.yaml --compare loose.yaml --json
case_of same 0 --policy strict.yaml --compare strict.yaml
case_of no-policy 2 --policy missing.yaml
echo "1..$number"
exit "$failed"
