#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kill -9 in the middle of 1,000 bans, then start again: every ban that was acknowledged is in the
# kernel the whole time, all are adopted, none twice, none without an end.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 3, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# Automatic ones: 200 sources with five connections each.
conns_start many --from 10.78.100.1 --sources 200 --count 1000 --to 10.77.0.2:80 --timeout 500 --quiet
conns_done many || tap_bail 'the connects do not end'

auto_bans() {
	tg_value '.bans[] | select(.origin == "auto" and .enforced) | .source' list | sed 's,/32$,,'
}

all_auto() {
	(($(auto_bans | wc -l) == 200 && $(kernel_bans | wc -l) == 200))
}

check '200 sources are banned automatically' wait_until 5 all_auto
auto_bans | sort >"$LAB_DIR/acknowledged.auto"

# By hand: 1,000, one after another. What the command said 0 to is acknowledged.
: >"$LAB_DIR/acknowledged.hand"
# shellcheck disable=SC2016 # the inner shell expands
on "$GUARD" bash -c '
	for i in {0..999}; do
		address=10.79.$((i / 250)).$((i % 250 + 1))
		"$1" --socket "$2" ban "$address" --for 10m --reason "kill test" >/dev/null 2>&1 || exit 0
		echo "$address" >>"$3"
	done' bash "$LAB_CLI" "$LAB_DIR/control.sock" "$LAB_DIR/acknowledged.hand" &
banning=$!

half_way() {
	(($(wc -l <"$LAB_DIR/acknowledged.hand") >= 400))
}

wait_until 60 half_way || tap_bail 'the bans do not get anywhere'
guard_stop KILL
wait "$banning"
sort "$LAB_DIR/acknowledged.auto" "$LAB_DIR/acknowledged.hand" >"$LAB_DIR/acknowledged"
count=$(wc -l <"$LAB_DIR/acknowledged")
tap_note "$count bans were acknowledged before kill -9"
check 'it was in the middle' test "$count" -lt 1200

# Are all there? Looked at over and over from now until the daemon has been back for a while.
missing_now() {
	comm -23 "$LAB_DIR/acknowledged" <(kernel_bans | awk '{ print $1 }' | sort)
}

check 'daemon dead: all are in the kernel' equal "$(missing_now | wc -l)" 0
: >"$LAB_DIR/missing"
: >"$LAB_DIR/looks"
(
	while [[ ! -e $LAB_DIR/enough ]]; do
		missing_now >>"$LAB_DIR/missing"
		echo >>"$LAB_DIR/looks"
	done
) &
watching=$!
# And from outside: one that is banned tries all the while.
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-clients" --to 10.77.0.2:80 --from 10.78.100.7 --pause 0 --timeout 100 \
	>"$LAB_DIR/banned" 2>&1 &
knocking=$!

looked() {
	(($(wc -l <"$LAB_DIR/looks") >= $1))
}

wait_until 20 looked 3
started=$(lab_now_ns)
guard_start || tap_bail 'the daemon does not come back'
tap_note "ready again after $((($(lab_now_ns) - started) / 1000000)) ms"
looks=$(wc -l <"$LAB_DIR/looks")
wait_until 20 looked $((looks + 10))
touch "$LAB_DIR/enough"
wait "$watching"
kill "$knocking"
wait "$knocking"
tap_note "looked $(wc -l <"$LAB_DIR/looks") times; the banned source: $(grep REPORT "$LAB_DIR/banned")"
check 'not one was missing at any time' equal "$(sort -u "$LAB_DIR/missing" | wc -l)" 0
check 'a banned source never got in' equal "$(field ok <"$LAB_DIR/banned")" 0
check 'and did try' test "$(field timeout <"$LAB_DIR/banned")" -gt 0

tg_value '.bans[].source' list | sed 's,/32$,,' | sort >"$LAB_DIR/listed"
check 'all are adopted' equal "$(comm -23 "$LAB_DIR/acknowledged" "$LAB_DIR/listed" | wc -l)" 0
check 'none is listed twice' equal "$(uniq -d "$LAB_DIR/listed" | wc -l)" 0
check 'none is in the kernel twice' equal "$(kernel_bans | awk '{ print $1 }' | sort | uniq -d | wc -l)" 0
check 'none is without an end' equal "$(kernel_bans | grep -c never)" 0
check 'list and kernel hold the same' equal "$(wc -l <"$LAB_DIR/listed")" "$(kernel_bans | wc -l)"
check 'the reason survived' tg_true 'any(.bans[]; .origin == "operator" and .reason == "kill test")' list
check 'the origin survived' equal \
	"$(tg_value '[.bans[] | select(.origin == "auto" and .policy == "web" and .limit == "open-per-ip")] | length' list)" 200
check 'every end is within what was asked for' tg_true 'all(.bans[]; .expires_in > 0 and .expires_in <= 600)' list
tap_done
