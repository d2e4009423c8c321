#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh TCPGUARD [--write]
# What people are told who type something wrong, or when nobody answers: lines.out, which has for
# each line of `lines` the exit status and what was said. --write makes it anew.
set -uo pipefail
tool=$(realpath "$1") || exit 2
write=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
# shellcheck source-path=SCRIPTDIR source=../check.sh
source ../check.sh

# Where the daemon is looked for, and the policy, depends on the build.
told() {
	local words said status

	read -ra words <<<"$1"
	said=$("$tool" --socket /nowhere/control.sock --config /nowhere/tcpguard.yaml "${words[@]}" 2>&1 </dev/null)
	status=$?
	printf '$ tcpguard %s\n%s\n[%d]\n' "$1" "$said" "$status"
}

# The block of a line in lines.out.
wanted() {
	awk -v line="\$ tcpguard $1" '$0 == line { on = 1 } on { print } on && /^\[[0-9]\]$/ { exit }' lines.out
}

says_the_same() {
	diff <(wanted "$1") <(told "$1")
}

mapfile -t lines <lines
if [[ $write == --write ]]; then
	for line in "${lines[@]}"; do
		told "$line"
	done >lines.out
fi
for line in "${lines[@]}"; do
	check "$line" says_the_same "$line"
done
echo "1..$number"
exit "$failed"
