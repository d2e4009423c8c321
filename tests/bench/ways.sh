# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Times several ways to the same answer, in turns. Sourced.

# run_ways WAY…: the best of ROUNDS of each, and its ratio to the first.
run_ways() {
	local round way from took

	declare -A best
	for ((round = 0; round < ROUNDS; round++)); do
		for way in "$@"; do
			from=${EPOCHREALTIME/./}
			"$way" >/dev/null
			took=$((${EPOCHREALTIME/./} - from))
			((took < ${best[$way]:-999999999})) && best[$way]=$took
		done
	done
	for way in "$@"; do
		printf '%-20s %7.1f ms  %5.2f x\n' "$way" "$((best[$way]))e-3" \
			"$((best[$way] * 1000 / best[$1]))e-3"
	done
}
