#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How long `tcpguard status` takes while two processes send forged SYNs as fast as they can, to a
# policy that observes, so that nothing holds them back: with the usual room for conntrack's
# messages, and with so little that the daemon steps down and tries again all the time.
# Run by hand, as root: LAB_BUILD=BUILD tests/bench/bench_control.sh [SECONDS]
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
HERE=$(dirname "${BASH_SOURCE[0]}")
SPAN=${1:-20}
lab_begin

die() {
	echo "bench_control: $*" >&2
	exit 1
}

guard_policy <<'EOP'
version: 1
mode: observe
policies:
  web:
    match: {ports: [80]}
    limits:
      half-open: {half-open: 20, action: rate-limit, to: 5/1s, expire: 10m}
      new: {new: 100/10s, action: rate-limit, to: 5/1s, expire: 10m}
      open: {concurrent: 50, action: rate-limit, to: 5/1s, expire: 10m}
      forged: {half-open: 5000, source: total, action: observe, expire: 1m}
EOP
lab_pair || die 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || die 'no server'

# row STEP WHEN: the answers of that step; of all, if it is empty.
row() {
	awk -v step="$1" 'step == "" || $1 == step { print $2 }' "$LAB_DIR/answers" | sort -n |
		awk -v name="$2" '{ us[NR] = $1 } END {
			if (NR) printf "%-24s %6d answers  p50 %6.1f ms  p99 %6.1f ms  max %6.1f ms\n", name, NR,
				us[int(NR * 0.50) + 1] / 1000, us[int(NR * 0.99) + 1] / 1000, us[NR] / 1000
		}'
}

# ask SECONDS: into $LAB_DIR/answers.
ask() {
	python3 "$HERE/../lab/ask.py" "$LAB_DIR/control.sock" >"$LAB_DIR/answers" &
	local asking=$!

	disown
	sleep "$1"
	kill "$asking"
	wait_until "$LAB_PATIENCE" is_gone "$asking"
}

# flooded OPTION…: a daemon with these options, asked in a flood.
flooded() {
	local floods=() flood

	guard_start "$@" || die 'no daemon'
	renice -n -10 -p "$GUARD_PID" >/dev/null
	for flood in 10.79.0.1 10.80.0.1; do
		ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from "$flood" \
			--sources 200000 --to 10.77.0.2:80 --count 1000000000 >/dev/null 2>&1 &
		floods+=("$!")
		disown
	done
	ask "$SPAN"
	tg_value '"  \(.events.received) messages read, \(.events.lost) lost; conntrack \(.conntrack.count) of \(.conntrack.max), flows \(.flows); steps down \(.feed.steps_down)"' status
	for flood in "${floods[@]}"; do
		kill "$flood"
		wait_until "$LAB_PATIENCE" is_gone "$flood"
	done
}

echo "two floods as fast as they can, $SPAN s each"
flooded
row '' 'usual room'
ask 5
row '' 'behind the flood'
guard_stop
flooded --event-buffer 16
for step in 0 1 2 3; do
	row "$step" "room for 25, step $step"
done
