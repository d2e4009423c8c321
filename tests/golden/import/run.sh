#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: run.sh TCPGUARD TRACE_SHOW libpcap|none [--write]
# Captures become traces, and the traces decide: what import says, the events, and what simulate makes of them stand
# in NAME.out. --write makes these anew; captures.py made the captures.
set -uo pipefail
tool=$(realpath "$1") || exit 2
show=$(realpath "$2") || exit 2
libpcap=$3
write=${4:-}
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
# shellcheck source-path=SCRIPTDIR source=../check.sh
source ../check.sh

# says STATUS TEXT COMMAND…: ends so, and says so.
says() {
	local want=$1 text=$2 got status

	shift 2
	got=$("$@" 2>&1)
	status=$?
	[[ $status == "$want" && $got == *"$text"* ]] && return
	echo "status $status, wanted $want: $got"
	return 1
}

is_not_there() {
	[[ ! -e $1 ]]
}

# case_of NAME STATUS COMMAND…: what it prints is in NAME.out.
case_of() {
	local name=$1 want=$2 got status

	shift 2
	got=$("$@" 2>&1)
	status=$?
	got=$(sed -E "s/, replayed at [0-9]+ events.s//; s#$dir/##g" <<<"$got")
	[[ $write == --write ]] && printf '%s\n' "$got" >"$name.out"
	check "$name" says_the_same "$name" "$got" "$status" "$want"
}

says_the_same() {
	diff "$1.out" - <<<"$2" || return 1
	[[ $3 == "$4" ]] || {
		echo "status $3, wanted $4"
		return 1
	}
}

# imported CAPTURE OPTION…: what import says, and the events.
imported() {
	local status trace=$dir/$1.trace

	"$tool" import "$@" --output "$trace"
	status=$?
	[[ -e $trace ]] && "$show" "$trace"
	return "$status"
}

import_to() {
	"$tool" import "$1" --output "$dir/$2"
}

if [[ $libpcap == none ]]; then
	check 'without libpcap import says that it has none' says 2 'this build has no libpcap' \
		"$tool" import life.pcap --output "$dir/none.trace"
	check 'and writes nothing' is_not_there "$dir/none.trace"
	echo "1..$number"
	exit "$failed"
fi

case_of life 0 imported life.pcap
case_of odd 0 imported odd.pcap
case_of idle 0 imported idle.pcap
case_of ipv6 0 imported ipv6.pcapng --local 2001:db8:1::/48,10.0.0.0/8
case_of cut 2 imported cut.pcap
case_of decided 0 "$tool" simulate --policy policy.yaml "$dir/ipv6.pcapng.trace"

# The same packets in another file are the same trace.
for name in nano-big-endian.pcap life.pcapng; do
	check "$name reads well" says 0 '10 connections' import_to "$name" "$name.trace"
	check "$name is life.pcap" cmp "$dir/life.pcap.trace" "$dir/$name.trace"
done
check 'raw.pcap reads well' says 0 '12 connections' import_to raw.pcap raw.trace
for name in sll sll2 null; do
	check "$name.pcap reads well" says 0 '12 connections' import_to "$name.pcap" "$name.trace"
	check "$name.pcap is raw.pcap" cmp "$dir/raw.trace" "$dir/$name.trace"
done

check 'an empty capture is said to be' says 2 'there is no packet' import_to empty.pcap empty.trace
check 'and leaves no trace' is_not_there "$dir/empty.trace"
check 'garbage is refused' says 2 'unknown file format' import_to garbage.pcap garbage.trace
check 'so are unknown frames' says 2 'IEEE802_11' import_to wifi.pcap wifi.trace
check 'so is what is not there' says 2 'No such file' import_to missing.pcap missing.trace
check 'neither leaves a trace' is_not_there "$dir/garbage.trace"
check 'a trace is not overwritten' says 2 '--force replaces it' import_to life.pcap raw.trace
chmod 644 "$dir/raw.trace"
check 'but with --force' says 0 '10 connections' "$tool" import life.pcap --output "$dir/raw.trace" --force
check 'only its owner reads it' says 0 600 stat -c %a "$dir/raw.trace"
cp life.pcap "$dir/here.pcap"
check 'the capture is not overwritten at all' says 2 'is the capture itself' \
	"$tool" import "$dir/here.pcap" --output "$dir/here.pcap" --force
check 'nor was it' cmp life.pcap "$dir/here.pcap"
check 'a trace is put beside the capture' says 0 '10 connections' "$tool" import "$dir/here.pcap"
check 'under its name' cmp "$dir/here.pcap.trace" "$dir/life.pcap.trace"
check 'a wrong prefix is refused' says 2 '--local 10.0.0.1/8' \
	"$tool" import life.pcap --output "$dir/wrong.trace" --local 192.0.2.0/24,10.0.0.1/8
check 'an empty one, too' says 2 '--local' "$tool" import life.pcap --output "$dir/wrong.trace" --local ''
check 'and so is a second list' says 2 'given twice' \
	"$tool" import life.pcap --output "$dir/wrong.trace" --local 10.0.0.1 --local 10.0.0.2
echo "1..$number"
exit "$failed"
