#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh DOCTOR_SHOW [--write]
# What doctor prints about a host with many faults, byte for byte; --write makes the .out files anew.
set -uo pipefail
show=$(realpath "$1") || exit 2
write=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
# shellcheck source-path=SCRIPTDIR source=../check.sh
source ../check.sh

says_the_same() {
	diff "$1.out" <("$show" "$1")
}

# Characters, whatever the locale; colours take no column.
is_narrow() {
	! "$show" "$1" | sed 's/\x1b\[[0-9;]*m//g' | LC_ALL=C.UTF-8 grep -nE '.{81,}'
}

is_plain() {
	! "$show" "$1" | LC_ALL=C grep -n $'\x1b'
}

is_json() {
	"$show" json | jq -e '.schema == 1 and (.findings | length > 10) and
		all(.findings[]; .id and .severity and .value and .advice and (.why | startswith("doctor.md#")))' >/dev/null
}

for name in text color json sysctl well; do
	[[ $write == --write ]] && "$show" "$name" >"$name.out"
	check "$name looks as it did" says_the_same "$name"
done
for name in text color sysctl; do
	check "$name reads well at 80 columns" is_narrow "$name"
done
check 'what came from outside moves no cursor' is_plain text
if command -v jq >/dev/null; then
	check 'JSON is valid, with what scripts rely on' is_json
fi
echo "1..$number"
exit "$failed"
