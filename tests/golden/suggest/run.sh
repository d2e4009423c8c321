#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh TCPGUARD SUGGEST_TRACE [--write]
# What is suggested from traces whose counts are known (suggest_trace.c): busy.out and its like. What is
# printed must be a drop-in that `check` accepts. --write makes them anew.
set -uo pipefail
tool=$(realpath "$1") || exit 2
maker=$(realpath "$2") || exit 2
write=${3:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
number=0
failed=0

# verdict NAME: of the last command
verdict() {
	local status=$?
	number=$((number + 1))
	((status == 0)) || failed=1
	((status == 0)) && echo "ok $number - $1" || echo "not ok $number - $1"
}

same_as() {
	[[ $write == --write ]] && cp "$dir/out" "$1.out"
	diff "$1.out" "$dir/out" | sed 's/^/# /'
}

# accepted POLICY: what was printed, beside it
accepted() {
	"$tool" --config "$1" check "$dir/out" >"$dir/checked" 2>&1 || { sed 's/^/# /' "$dir/checked"; false; }
}

for name in busy quiet silent; do
	"$maker" "$name" >"$dir/$name.trace"
	"$tool" --config policy.yaml suggest "$dir/$name.trace" >"$dir/out" && same_as "$name"
	verdict "$name"
	accepted "$PWD/policy.yaml"
	verdict "$name: check accepts it"
done
"$tool" --config policy.yaml suggest --json "$dir/busy.trace" >"$dir/out" && same_as json
verdict 'as JSON'
for policy in ../../../policies/*.yaml; do
	"$tool" --config "$policy" suggest "$dir/busy.trace" >"$dir/out" && accepted "$(realpath "$policy")"
	verdict "for ${policy##*/}"
done

# refused STATUS COMMAND…
refused() {
	local want=$1 got
	shift
	"$tool" --config policy.yaml "$@" >/dev/null 2>"$dir/err"
	got=$?
	((got == want)) && [[ -s $dir/err ]]
}
head -c 300 "$dir/busy.trace" >"$dir/cut.trace"
refused 2 suggest "$dir/cut.trace"
verdict 'a trace that is cut off'
refused 2 suggest --for 1m "$dir/busy.trace"
verdict '--for with a trace'
refused 2 suggest --for long
verdict 'a time that is none'
refused 2 suggest "$dir/none.trace"
verdict 'no trace'
refused 2 --config none.yaml suggest "$dir/busy.trace"
verdict 'no policy'
echo "1..$number"
exit "$failed"
