#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh STATUS_SHOW [--write]
# What people see of a daemon's status, byte for byte: whole where nobody's terminal cuts it, and
# within 80 columns. --write makes the .out files anew.
set -uo pipefail
show=$(realpath "$1") || exit 2
write=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
# shellcheck source-path=SCRIPTDIR source=../check.sh
source ../check.sh

says_the_same() {
	diff "$1.$2.out" <("$show" "$2" <"$1.in")
}

# But for a word that alone is wider.
is_narrow() {
	"$show" "$2" <"$1.in" | awk -v most="$2" 'length > most && $1 !~ /^\/.*yaml$/ { print "too wide: " $0; bad = 1 } END { exit bad }'
}

# Nothing is lost by breaking lines.
has_all_words() {
	diff <("$show" 0 <"$1.in" | tr -s ' \n' '\n') <("$show" "$2" <"$1.in" | tr -s ' \n' '\n')
}

for name in full least; do
	for width in 0 80; do
		[[ $write == --write ]] && "$show" "$width" <"$name.in" >"$name.$width.out"
		check "$name at $width looks as it did" says_the_same "$name" "$width"
	done
	for width in 80 40; do
		check "$name stays within $width" is_narrow "$name" "$width"
		check "$name has all its words at $width" has_all_words "$name" "$width"
	done
done
echo "1..$number"
exit "$failed"
