#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tcpguard ruleset prints what the daemon installs: for every policy here nft takes the text, and
# what it makes of it is, but for the owner and the addresses of the host, the daemon's own table.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab_begin
lab_pair || tap_bail 'no lab'

# The table as nft lists it: blocks by name, because their order is that of their making; without
# the owner, what only nft itself heeds, and the addresses that are the host's. A set of one port is
# what nft makes a plain match of.
normalised() {
	on "$1" nft list table inet tcpguard | perl -0777 -pe '
		s/^table inet tcpguard \{.*\n//m;
		s/^\t# .*\n|^\tflags owner.*\n|^\t\tauto-merge\n//mg;
		s/(^\tset (?:own[46]|near[46]-\d+) \{.*?)^\t\telements = .*?\}\n/$1/msg;
		s/(dport|daddr) \{ ([^ ,]+) \}/$1 $2/g;
		s/\s+\}\n\z//;
		$_ = join "", map { s{\s*\z}{\n}r } sort grep { /\S/ } split /^(?=\t(?:set|chain) )/m;'
}

# same FILE: of its own directory, with what lies beside it.
same() {
	local file=$1

	rm -rf "${LAB_DIR:?}/etc" "${LAB_DIR:?}/state"
	mkdir -p "$LAB_DIR/state"
	cp -r "$(dirname "$file")" "$LAB_DIR/etc"
	cp "$file" "$LAB_DIR/etc/tcpguard.yaml"
	"$LAB_CLI" ruleset --policy "$LAB_DIR/etc/tcpguard.yaml" >"$LAB_DIR/ruleset" || return 1
	on "$CLIENT" nft -c -f - <"$LAB_DIR/ruleset" || return 1
	on "$CLIENT" nft list tables | grep tcpguard && return 1
	on "$CLIENT" nft -f - <"$LAB_DIR/ruleset" || return 1
	guard_start || return 1
	normalised "$CLIENT" >"$LAB_DIR/printed"
	normalised "$GUARD" >"$LAB_DIR/installed"
	guard_stop
	# A table that had SYNPROXY once keeps a rule of it.
	on "$GUARD" nft delete table inet tcpguard
	on "$CLIENT" nft delete table inet tcpguard
	grep 'chain track' "$LAB_DIR/installed" >/dev/null &&
		diff "$LAB_DIR/installed" "$LAB_DIR/printed" | sed 's/^/# /'
}

for file in "$ROOT"/policies/*.yaml "$ROOT"/tests/policy/good/*.yaml; do
	check "${file#"$ROOT"/}" same "$file"
done
# As a user of no rights, and without a daemon: it touches nothing.
check 'needs no privilege' eval \
	'setpriv --reuid=65534 --regid=65534 --clear-groups "$LAB_BUILD/src/cli/tcpguard" ruleset --policy "$ROOT/policies/web.yaml" |
		grep "hook prerouting" >/dev/null'
check 'a bad policy is an error' eval '! "$LAB_CLI" ruleset --policy "$ROOT/LICENSE" >/dev/null 2>&1'
tap_done
