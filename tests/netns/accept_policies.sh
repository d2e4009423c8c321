#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every bad policy there is, offered to a running daemon: each is refused with its line and column,
# and the policy in force goes on as if nothing had been said. Every example loads.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
policy=$LAB_DIR/etc/tcpguard.yaml

guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
LAB_IDLE=30 lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
quietly tg ban 10.78.9.9 --for 1h || tap_bail 'no ban by hand'
loaded=$(tg_value .policy.loaded status)
table=$(on "$GUARD" nft --stateless list table inet tcpguard)

# What the error begins with: FILE:LINE:COL as the file expects, in its first line or beside it; FILE
# alone (0:0) where there is nothing in it to point at.
expected() {
	local beside=${1%.yaml}.expect line

	if [[ -f $beside ]]; then
		line=$(head -n 1 "$beside")
	else
		line=$(head -n 1 "$1" | sed 's/.*# expect: //')
	fi
	line=$(cut -d: -f1,2 <<<"$line")
	[[ $line == 0:0 ]] && echo "$policy: error: " || echo "$policy:$line: error: "
}

refused=0
for file in "$top"/tests/policy/bad/*.yaml; do
	cp "$file" "$policy"
	said=$(tg reload 2>&1)
	status=$?
	if [[ $status == 1 && $said == *"$(expected "$file")"* ]]; then
		refused=$((refused + 1))
	else
		tap_note "$(basename "$file"): status $status, wanted '$(expected "$file")', got ${said:0:300}"
	fi
done
count=$(find "$top/tests/policy/bad" -name '*.yaml' | wc -l)
check "$count bad policies, a hundred at least" test "$count" -ge 100
check 'each is refused with its line and column' equal "$refused" "$count"
check 'the policy in force is the one of the start' equal "$(tg_value .policy.loaded status)" "$loaded"
check 'the failures are counted' equal "$(tg_value .engine.reloads_failed status)" "$count"
check 'the table is untouched' equal "$(on "$GUARD" nft --stateless list table inet tcpguard)" "$table"
check 'the ban by hand is in force' is_banned 10.78.9.9/32
conns_start greedy --from 10.78.200.1 --to 10.77.0.2:80 --count 60 --timeout 500
check 'and the limit still bites' wait_until 10 is_banned 10.78.200.1/32
kill "$CONNS_PID"

for file in "$top"/policies/*.yaml; do
	cp "$file" "$policy"
	check "$(basename "$file") loads" quietly tg reload
done
check 'the ban by hand has outlived them all' is_banned 10.78.9.9/32
tap_done
