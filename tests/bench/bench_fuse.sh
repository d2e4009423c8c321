#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the fuse of a `new` limit is worth: one source as fast as it can, and millions of forged ones
# with an offender among them, on a host without a guard, with a daemon whose limit has no fuse
# (`min-hosts`: it counts networks), and with one that has it. SYNs that a core sends and the host
# takes in a second of its time (of the sender, who does what the host has to do with them, too: a
# busy machine changes little), those that came as far as conntrack, and the daemon's share of a core.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_fuse.sh [SECONDS]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
LAB_TAG=bench-fuse
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
LASTS=${1:-5}
ROUND=0

die() {
	echo "bench_fuse: $*" >&2
	exit 1
}

# policy LIMIT
policy() {
	guard_policy <<-EOT
		version: 1
		mode: enforce
		policies:
		  web:
		    match: {ports: [80]}
		    limits:
		      new: {new: 100/10s, burst: 50, $1action: rate-limit, to: 5/1s, expire: 10m}
	EOT
}

# ticks: of the daemon so far, a hundredth of a second each; 0 without one.
ticks() {
	local stat

	[[ -n ${GUARD_PID:-} ]] && stat=$(cat "/proc/$GUARD_PID/stat" 2>/dev/null) || stat='0 (x) x 0 0 0 0 0 0 0 0 0 0 0 0'
	awk '{ print $12 + $13 }' <<<"${stat##*) }"
}

passed() {
	on "$GUARD" nft list counter inet bench "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'
}

# once WHAT OPTION…: a flood, and with a wide one an offender at 100,000 a second in its second half.
# "SYNs a second of CPU, those that reached conntrack, those of the offender, hundredths of a percent".
once() {
	local what=$1 before began took

	shift
	on "$GUARD" conntrack -F >/dev/null 2>&1
	on "$GUARD" nft reset counters >/dev/null
	before=$(ticks)
	began=$(lab_now_ns)
	{
		TIMEFORMAT='cpu=%U+%S'
		time ip netns exec "$CLIENT" timeout -s INT "$LASTS" "$LAB_TOOLS/lab-flood" --dev eth0 \
			--mac "$LAB_MAC" --to 10.77.0.2:80 --count 4000000000 "$@" >"$LAB_DIR/flood"
	} 2>"$LAB_DIR/cpu" &
	flooder=$!
	if [[ $what == wide ]]; then
		sleep $((LASTS / 2 + 1))
		flood --to 10.77.0.2:80 --from "$OFFENDER" --count 100000 --rate 100000 >/dev/null
	fi
	wait "$flooder"
	took=$(($(lab_now_ns) - began))
	echo "$(awk -F'[=+]' -v sent="$(field sent <"$LAB_DIR/flood")" '/cpu/ { printf "%d", sent / ($2 + $3) }' "$LAB_DIR/cpu")" \
		"$(passed syns) $(passed offender)" \
		"$((($(ticks) - before) * 100000000000 / took))"
}

# run NAME WHAT: the best of three, of a source each that nobody has banned yet.
run() {
	local name=$1 what=$2 rate reached offender share i

	for ((i = 1; i <= 3; i++)); do
		if [[ $what == one ]]; then
			once one --from "10.79.$((ROUND + i)).1"
		else
			OFFENDER=10.79.$((128 + ROUND + i)).1
			once wide --from 10.80.0.1 --sources 5000000 --stride 32
		fi
	done | sort -n | tail -n 1 >"$LAB_DIR/best"
	ROUND=$((ROUND + 3))
	read -r rate reached offender share <"$LAB_DIR/best"
	printf '%-5s %-16s %8d SYN/s a core, %8d reached conntrack' "$what" "$name" "$rate" "$reached"
	[[ $what == wide ]] && printf ', %6d of 100000 of the offender' "$offender"
	[[ -n ${GUARD_PID:-} ]] && printf ', daemon %d.%02d %%' $((share / 100)) $((share % 100))
	echo
}

floods() {
	run "$1" one
	run "$1" wide
}

lab_pair || die 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || die 'no server'
on "$GUARD" nft -f - <<'EOT'
table inet bench {
	counter syns { }
	counter offender { }
	chain pre {
		type filter hook prerouting priority -250;
		tcp flags & (fin|syn|rst|ack) == syn counter name syns
		tcp flags & (fin|syn|rst|ack) == syn ip saddr 10.79.128.0/17 counter name offender
	}
	chain track {
		type filter hook prerouting priority -150;
		ct state new accept
	}
}
EOT
floods "no guard"
policy 'source: {ipv4: 24, ipv6: 48}, min-hosts: 2, '
guard_start || die 'no daemon'
renice -n -10 -p "$GUARD_PID" >/dev/null # as tcpguard.service has it
floods "daemon, no fuse"
guard_stop
on "$GUARD" nft delete table inet tcpguard 2>/dev/null
rm -rf "${LAB_DIR:?}/state"
policy ''
guard_start || die 'no daemon'
renice -n -10 -p "$GUARD_PID" >/dev/null
floods "daemon and fuse"
tg_value '"meters: \(.meter.most) of \(.fuse.room); full told \(.fuse.full) times; told \(.fuse.told)"' status
