#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Lets a fuzzer run for a while, as a test. What it finds stands in the output, whole.
set -uo pipefail

usage='usage: fuzz.sh FUZZER [-OPTION…] CORPUS…
FUZZ_SECONDS (60) says for how long; with 0 it only goes through the corpora.'

if (($# < 2)); then
	echo "$usage" >&2
	exit 2
fi
fuzzer=$1
name=$(basename "$fuzzer")
shift
seconds=${FUZZ_SECONDS:-60}
if [[ ! $seconds =~ ^[0-9]+$ ]]; then
	echo "fuzz.sh: FUZZ_SECONDS is '$seconds', not a whole number" >&2
	exit 2
fi

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir "$work/new" "$work/found"
time=("-max_total_time=$seconds")
((seconds)) || time=(-runs=0)
# What is new goes into the first directory, so that the corpora stay as they are.
"$fuzzer" "${time[@]}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	-artifact_prefix="$work/found/" "$work/new" "$@" >"$work/log" 2>&1
status=$?
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")

echo 1..1
if ((status == 0)); then
	echo "ok 1 - $name: ${runs:-0} inputs"
	exit 0
fi
echo "not ok 1 - $name: status $status after ${runs:-0} inputs"
grep -a '^INFO: Seed' "$work/log" | sed 's/^/# /'
tail -n 80 "$work/log" | sed 's/^/# /'
for found in "$work/found/"*; do
	[[ -f $found ]] || continue
	echo "# The input that did it, $(stat -c %s "$found") bytes, in base64:"
	base64 "$found"
	echo "# To see it again: base64 -d into a file, then build-fuzz/tests/fuzz/$name FILE"
done
exit 1
