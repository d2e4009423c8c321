#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same traffic seen twice: by the kernel's connection tracking, recorded from the daemon, and by a capture that
# import turns into a trace. Both tell the same life of every connection, with the same timeouts.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
"$LAB_CLI" import /dev/null 2>&1 | grep 'no libpcap' >/dev/null && {
	echo '1..0 # SKIP this build has no libpcap'
	exit 0
}

guard_policy <<'EOP'
version: 1
mode: observe
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 100, action: rate-limit, to: 5/1s, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
on "$CLIENT" sysctl -qw net.ipv4.tcp_tw_reuse=1
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
policy=$LAB_DIR/etc/tcpguard.yaml
show=$LAB_BUILD/tests/golden/trace_show
kernel=$LAB_DIR/kernel.trace
captured=$LAB_DIR/captured.trace

ip netns exec "$GUARD" "$LAB_TOOLS/lab-capture" eth0 "$LAB_DIR/wire.pcap" >"$LAB_DIR/capture.out" 2>&1 &
capture=$!
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$kernel" >"$LAB_DIR/record.out" 2>&1 &
recorder=$!
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'no recording'
wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/capture.out" || tap_bail 'no capture'

# conns NAME OPTION…: and waits for its end.
conns() {
	conns_start "$@"
	conns_done "$1" && wait_until "$LAB_PATIENCE" is_gone "$CONNS_PID"
}

conns closes --from 10.78.0.1 --to 10.77.0.2:80 --count 20 --hold 0
conns resets --from 10.78.0.2 --to 10.77.0.2:80 --count 20 --hold 0 --rst
conns closes6 --from fd78::1 --to '[fd77::2]:80' --count 20 --hold 0
conns refused --from 10.78.0.3 --to 10.77.0.2:81 --count 20 --hold 0
conns_start held --from 10.78.0.4 --to 10.77.0.2:80 --count 120
conns_done held
on "$CLIENT" "$LAB_TOOLS/lab-clients" --from 10.78.1.0 --sources 5 --to 10.77.0.2:80 --pause 1 --rounds 50 >/dev/null
on "$CLIENT" "$LAB_TOOLS/lab-flood" --from 10.79.0.1 --sources 10 --count 200 --rate 2000 --to 10.77.0.2:80 \
	--dev eth0 --mac "$LAB_MAC" >/dev/null
# One port again and again: after resets, and over TIME_WAIT (tcp_tw_reuse asks for a second between).
on "$CLIENT" python3 - <<'EOP'
import socket
import struct
import time


def connect(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("10.78.0.5", port))
    sock.connect(("10.77.0.2", 80))
    sock.sendall(b"hello")
    sock.recv(10)
    return sock


for _ in range(5):
    with connect(50000) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
for _ in range(3):
    with connect(50001) as sock:
        sock.shutdown(socket.SHUT_WR)
        sock.recv(10)
    time.sleep(1.5)
EOP
# What was sent before is in both when this is: record reads all that the daemon has told before it heeds the signal.
conns_start last --from 10.78.0.6 --to 10.77.0.2:80
conns_done last
knows_last() {
	tg_true 'any(.sources[]; .source == "10.78.0.6/32")' top --count 0
}
last_is_recorded() {
	"$show" "$kernel" | grep '10.78.0.6 .* established' >/dev/null
}
wait_until "$LAB_PATIENCE" knows_last || tap_bail 'the daemon does not hear of the last connection'
tg_true '.record.clients == 1' status
kill -INT "$recorder"
check 'the recording ends well' wait "$recorder"
kill -TERM "$capture"
check 'the capture, too' wait "$capture"
check 'the end of the traffic is recorded' last_is_recorded
tap_note "kernel: $(cat "$LAB_DIR/record.out"); wire: $(tail -n 1 "$LAB_DIR/capture.out")"
check 'the kernel told everything' quietly grep ' 0 lost' "$LAB_DIR/record.out"
check 'the capture has everything' quietly grep 'lost=0' "$LAB_DIR/capture.out"

check 'the capture becomes a trace' quietly "$LAB_CLI" import "$LAB_DIR/wire.pcap" --output "$captured" --local 10.77.0.2,fd77::2
# Each flow's life in one line. When the kernel sweeps out what timed out is its own affair, so ends count only
# where a refusal brings them at once. It cuts timeouts to seconds, which may make 119 of 120.
lives() {
	"$show" "$1" | awk '
		$2 != "new" && $2 != "state" && $2 != "end" { next }
		{ key = $3 " " $4 " " $5 " " $6 }
		$2 == "end" { if (last[key] == "syn-sent") life[key] = life[key] " refused"; next }
		{ life[key] = life[key] ($2 == "new" ? " new" : "") " " $7 "/" int(($8 + 1) / 10) * 10; last[key] = $7 }
		END { for (key in life) print key ":" life[key] }' | sort
}
lives "$kernel" >"$LAB_DIR/kernel.lives"
lives "$captured" >"$LAB_DIR/captured.lives"
tap_note "$(wc -l <"$LAB_DIR/kernel.lives") connections, kinds of lives: $(cut -d: -f2- "$LAB_DIR/kernel.lives" | sort -u | wc -l)"
check 'there are lives to compare' test "$(wc -l <"$LAB_DIR/kernel.lives")" -gt 400
same_lives() {
	diff "$LAB_DIR/kernel.lives" "$LAB_DIR/captured.lives" >"$LAB_DIR/lives.diff" && return
	head -n 20 "$LAB_DIR/lives.diff"
	return 1
}
check 'both tell the same lives' same_lives

banned() {
	"$LAB_CLI" simulate --policy "$policy" --json "$1" |
		jq -r '[.decisions[] | select(.decision == "ban") | [.source, .limit, .measured] | join(" ")] | join("; ")'
}
tap_note "decided: $(banned "$captured")"
check 'both decide the same' equal "$(banned "$captured")" "$(banned "$kernel")"
check 'which is something' test -n "$(banned "$kernel")"
tap_done
