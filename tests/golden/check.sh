# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
# Cases of the golden tests that are shell scripts. Sourced.
number=0
failed=0

# check NAME COMMAND…
check() {
	local name=$1 verdict=ok

	shift
	number=$((number + 1))
	if ! "$@" 2>&1 | sed 's/^/# /'; then
		verdict='not ok'
		failed=1
	fi
	echo "$verdict $number - $name"
}
