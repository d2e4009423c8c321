#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the whole process takes: at the defaults less than 128 MiB, with as many rates as a policy may
# have and idle limits, while a flood fills its tables and its policy is replaced. That the tables
# may be filled to the last byte as well follows from two figures: what they reserve, and what the
# process takes beside tables that are small.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

MOST=$((128 * 1024)) # KiB
BESIDE=$((8 * 1024))
FLOWS=60000 # of each family; as many entries as any machine's conntrack has

# policy RATES IDLE [DEFAULTS]
policy() {
	local n

	printf 'version: 1\nmode: observe\ndefaults: {%s}\npolicies:\n  web:\n' "${3:-}"
	printf '    match: {ports: [80]}\n    limits:\n'
	printf '      open: {concurrent: 1000, action: observe, expire: 1m}\n'
	for ((n = 0; n < $1; n++)); do
		printf '      new%d: {new: %d/1s, action: observe, expire: 1m}\n' "$n" $((100000 + n))
	done
	(($2)) && printf '      quiet: {idle: 1000, action: observe, expire: 1m}\n'
	return 0
}

# in_kib WORD: of the daemon's /proc/PID/status.
in_kib() {
	awk -v word="$1:" '$1 == word { print $2 }' "/proc/$GUARD_PID/status"
}

# within LIMIT: the most that the process ever took, unless it is not the allocator's own.
within() {
	tap_note "resident $(in_kib VmRSS) KiB, at most $(in_kib VmHWM) KiB"
	grep -q __asan_init "$LAB_DAEMON" && return 0
	at_most "$(in_kib VmHWM)" "$1"
}

reserved_kib() {
	tg_value '.memory / 1024 | floor' status
}

floods() {
	tap_note "$(flood --from 10.79.0.1 --sources "$FLOWS" --stride 32 --to 10.77.0.2:80 \
		--count "$FLOWS" --rate 20000)"
	tap_note "$(flood --from fd79::1 --sources "$FLOWS" --stride 64 --to '[fd77::2]:80' \
		--count "$FLOWS" --rate 20000)"
}

policy 30 1 | guard_policy
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
room=$(tg_value .max_sources status)
tap_note "room for $room sources of each family, $(reserved_kib) KiB reserved"
check 'thirty rates leave room for fewer sources, and it is said' tg_true \
	'.sources_lowered and .max_sources < 262144 and .max_sources >= 16384' status
check 'to people, too' eval "tg status | grep -q 'set max-sources'"
check 'what is reserved leaves room for the rest' at_most "$(reserved_kib)" $((MOST - BESIDE))

floods
check 'the tables of sources are full' wait_until 10 tg_true '.engine.sources_evicted > 1000' status
check 'under 128 MiB' within "$MOST"

before=$(in_kib VmHWM)
policy 20 1 | guard_policy
check 'fewer rates are loaded' quietly tg reload
policy 30 1 | guard_policy
check 'and as many as before again' quietly tg reload
# Tables are handed on: a second copy of what is in use would be some 24 MiB.
check 'neither needs the tables twice' within $((before + 6 * 1024))
floods
check 'under 128 MiB all the while' within "$MOST"
check 'the tables did not grow' at_most "$(reserved_kib)" $((MOST - BESIDE))
guard_stop

policy 1 0 | guard_policy
guard_start || tap_bail 'no daemon'
check 'a simple policy has room for all' tg_true '.max_sources == 262144 and (.sources_lowered | not)' status
policy 30 1 | guard_policy
check 'what would not fit beside its tables is refused' eval '! tg reload >"$LAB_DIR/said" 2>&1'
sed 's/^/# /' "$LAB_DIR/said"
check 'with the way out' grep -q 'restart tcpguardd.*max-sources' "$LAB_DIR/said"
check 'and nothing changed' tg_true '.max_sources == 262144 and .engine.reloads_failed == 1' status
policy 30 1 'max-sources: 262144' | guard_policy
check 'who names max-sources has it' quietly tg reload
guard_stop

on "$GUARD" conntrack -F >/dev/null 2>&1
# Twenty thousand bans in as few turns as the flood takes, written down and told to the kernel.
guard_policy <<'EOP'
version: 1
mode: enforce
defaults: {max-flows: 40000, max-sources: 30720, max-bans: 20000}
policies: {web: {match: {ports: [80]}, limits: {half: {half-open: 1, action: rate-limit, to: 1/1s, expire: 2m}}}}
EOP
guard_start || tap_bail 'no daemon'
tap_note "$(flood --from 10.79.0.1 --sources 20000 --stride 32 --to 10.77.0.2:80 --count 40000 --rate 50000)"
check 'many bans at once' wait_until 10 tg_true '.bans.active > 5000' status
quietly tg list
tap_note "$(tg_value '"\(.bans.active) bans"' status), $(reserved_kib) KiB reserved"
check 'beside its tables the process takes less than 8 MiB' within $(($(reserved_kib) + BESIDE))
guard_stop
tap_done
