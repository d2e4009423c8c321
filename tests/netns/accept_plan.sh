#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tcpguard plan`: what a reload would change, against what the running daemon has loaded. It changes
# nothing itself, and a reload afterwards does what it said. `check --as` beside it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

# policy MODE THRESHOLD ALLOW [MORE]
policy() {
	cat <<EOT
version: 1
mode: enforce
allow: [$3]
policies:
  web:
    mode: $1
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: $2, action: drop, expire: 10m}
  seen:
    mode: observe
    match: {ports: [81]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
${4:-}
EOT
}

policy enforce 20 10.78.9.0/24 | guard_policy
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

candidate=$LAB_DIR/candidate
installed=$LAB_DIR/etc/tcpguard.yaml

# With the policy that the daemon reads.
tgc() {
	tg --config "$installed" "$@"
}

# status_is EXPECTED COMMAND…
status_is() {
	local expected=$1 got=0
	shift
	"$@" >"$LAB_DIR/out" 2>"$LAB_DIR/err" || got=$?
	((got == expected)) && return
	printf '# exit status %d, not %d\n' "$got" "$expected"
	sed 's/^/# /' "$LAB_DIR/out" "$LAB_DIR/err"
	return 1
}

# plans FILTER: of the candidate
plans() {
	tgc plan --json "$candidate" | jq -r "$1"
}

check 'nothing to change' status_is 0 tgc plan
check 'it says so' equal "$(cat "$LAB_DIR/out")" 'nothing would change'
check 'nor as JSON' equal "$(tgc plan --json | jq -c '[.schema, .changes, .bans, .stay, .restart]')" '[1,[],[],0,[]]'

for port in 80 81; do
	conns_start "many$port" --from "10.78.1.${port:1}" --count 60 --to "10.77.0.2:$port" --timeout 300 --quiet
	conns_done "many$port"
done
both_are_banned() {
	tg_true '[.bans[] | select(.action == "drop") | "\(.source) \(.enforced)"] | sort ==
		["10.78.1.0/32 true", "10.78.1.1/32 false"]' list
}
check 'a drop in force and one observed' wait_until "$LAB_PATIENCE" both_are_banned
check 'and one by hand' quietly tg ban 10.78.8.1 --for 1h
check 'they change no plan' status_is 0 tgc plan

before=$(tg list --json | jq -c '[.bans[] | [.source, .action, .enforced]] | sort')

policy observe 20 10.78.9.0/24 >"$candidate"
check 'only to observe' status_is 1 tgc plan "$candidate"
check 'lifts the ban' grep -qx -- '-   10.78.1.0/32 drop by web/open-per-ip: its limit only observes' "$LAB_DIR/out"
check 'and is a change of the limit' grep -qx -- '+   mode: observe' "$LAB_DIR/out"
check 'in numbers' grep -qx '1 change; bans: 1 lifted, 0 begun, 2 stay' "$LAB_DIR/out"

policy enforce 99 10.78.9.0/24 | sed 's/mode: observe/mode: enforce/' >"$candidate"
check 'to enforce what was observed' equal \
	"$(plans '[.bans[] | "\(.source) \(.change) \(.why)"] | join(", ")')" \
	'10.78.1.1/32 begun its limit enforces'
check 'with a threshold' equal \
	"$(plans '[.changes[] | select(.key == "concurrent") | "\(.section): \(.before) \(.after)"] | join(", ")')" \
	'policy web limit open-per-ip: 20 99'

policy enforce 20 '10.78.8.0/24, 10.78.1.0/32' '  new: {limits: {a: {new: 5/1s, action: rate-limit, to: 1/1s, expire: 1m}}}' |
	sed 's/seen:/other:/' >"$candidate"
check 'an allow list, a policy gone and one more' equal \
	"$(plans '[.bans[] | "\(.source) \(.change) \(.why)"] | sort | join(", ")')" \
	'10.78.1.0/32 lifted the allow list has it, 10.78.1.1/32 lifted its policy is gone, 10.78.8.1/32 lifted the allow list has it'
check 'the changes' equal \
	"$(plans '[.changes[].section] | unique | join(", ")')" \
	'allow, policy new, policy new limit a, policy other, policy other limit open-per-ip, policy seen, policy seen limit open-per-ip'
check 'at 80 columns' test "$(tgc plan "$candidate" | awk '{ if (length > most) most = length } END { print most }')" -le 80
check 'nothing has changed by all that' equal \
	"$(tg list --json | jq -c '[.bans[] | [.source, .action, .enforced]] | sort')" "$before"

printf 'defaults: {max-flows: 5000}\n' >"$candidate"
check 'a drop-in that is not there yet' equal "$(plans '"\(.changes | length) \(.restart | join(" "))"')" '1 max-flows'
check 'as what it will be' equal \
	"$(tgc plan --json --as "$LAB_DIR/etc/policies.d/10-flows.yaml" "$candidate" | jq -r '.changes[0].after')" 5000

printf 'version: 1\nmode: enforced\n' >"$candidate"
check 'an unreadable policy' status_is 2 tgc plan --as "$installed" "$candidate"
check 'is told by the name that it will have' grep -q "^$installed:2:7: error:" "$LAB_DIR/err"
check 'so does check' status_is 1 tgc check --as "$installed" "$candidate"
check 'by that name' grep -q "^$installed:2:7: error:" "$LAB_DIR/err"
check 'a file that nothing reads' status_is 1 tgc check --as "$LAB_DIR/etc/other.yaml" "$candidate"
check 'no such file' status_is 2 tgc plan "$LAB_DIR/none"
check '--as without a file' status_is 2 tgc plan --as "$installed"
policy enforce 20 10.78.9.0/24 >"$candidate"
check 'a good one' status_is 0 tgc check --as "$installed" "$candidate"

# What it says is what happens.
policy observe 20 10.78.9.0/24 | sed '/seen:/,$d' | guard_policy
check 'a plan' equal "$(tgc plan --json | jq -r '[.bans[] | "\(.source) \(.change)"] | sort | join(", ")')" \
	'10.78.1.0/32 lifted, 10.78.1.1/32 lifted'
check 'a reload' quietly tg reload
check 'does that' equal "$(tg list --json | jq -r '[.bans[].source] | join(" ")')" 10.78.8.1/32
check 'and leaves nothing to change' status_is 0 tgc plan

policy enforce 20 10.78.9.0/24 | guard_policy
check 'a policy that waits' quietly tg reload --confirm 1h
check 'is told' test "$(tgc plan --json | jq '.confirm_in > 0')" = true
guard_stop
check 'no daemon' status_is 3 tgc plan
tap_done
