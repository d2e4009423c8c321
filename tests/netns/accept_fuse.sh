#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A limit of `new` also stands ahead of conntrack: one source as fast as it can is held back after
# its burst and one, SYNs that repeat one connection count each, and the daemon hears of each
# offender once. Who stays within the limit notices nothing; a full meter still holds an offender
# back; nothing of it outlives a crash by more than seconds.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

# policy REPEATS
policy() {
	guard_policy <<EOP
version: 1
mode: enforce
defaults: {max-sources: 16384, max-flows: 65536}
allow: [10.79.9.9]
policies:
  web:
    match: {ports: [80]}
    limits:
      new: {new: 100/10s, burst: 50, action: rate-limit, to: 1/1s, expire: 1m}
  repeats:
    match: {ports: [81]}
    limits:
      new: {new: $1/1h, action: rate-limit, to: 1/1s, expire: 1m}
  seen:
    mode: observe
    match: {ports: [82]}
    limits:
      new: {new: 100/10s, burst: 50, action: drop, expire: 1m}
EOP
}

lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 10.77.0.2:82 '[fd77::2]:80' || tap_bail 'no server'
# What gets as far as conntrack, by source; of IPv6 by /64.
on "$GUARD" nft -f - <<'EOF' || tap_bail 'no probe'
	table inet lab_probe {
		set syns4 { type ipv4_addr; flags dynamic; counter; size 1024; }
		set syns6 { type ipv6_addr; flags dynamic; counter; size 1024; }
		chain pre {
			type filter hook prerouting priority -250;
			tcp flags & (fin|syn|rst|ack) == syn ip saddr 10.79.0.0/16 update @syns4 { ip saddr }
			tcp flags & (fin|syn|rst|ack) == syn update @syns6 { ip6 saddr & ffff:ffff:ffff:ffff:: }
		}
	}
EOF
policy 999
guard_start || tap_bail 'no daemon'

# reached SOURCE: its SYNs that came as far as conntrack.
reached() {
	local set=syns4 n

	[[ $1 == *:* ]] && set=syns6
	n=$(on "$GUARD" nft get element inet lab_probe "$set" "{ $1 }" 2>/dev/null |
		sed -n 's/.*counter packets \([0-9]*\).*/\1/p')
	echo "${n:-0}"
}

# told FILTER: what status says of the fuses.
told() {
	tg_value ".fuse.$1" status
}

tells() {
	tg_true ".fuse.told == $1" status
}

# is_over SOURCE POLICY: in the kernel's set of those who ran over the fuse.
is_over() {
	on "$GUARD" nft get element inet tcpguard "fused.$2.new.ip4" "{ $1 }" >/dev/null 2>&1
}

between() {
	(($1 >= $2 && $1 <= $3)) && return 0
	echo "# got $1, want $2 to $3"
	return 1
}

events() {
	tg_value .events.received status
}

check 'two limits stand in the packet path, and one that observes' equal "$(told limits)" 3
check 'check says so' eval '"$LAB_CLI" --config "$LAB_DIR/etc/tcpguard.yaml" check |
	grep "new: more than 100 .* in the packet path" >/dev/null'

flood --from 10.79.0.1 --to 10.77.0.2:80 --count 150 >/dev/null
check 'what the limit allows passes' equal "$(reached 10.79.0.1)" 150
check 'and is no offence' eval '! is_over 10.79.0.1 web && is_not_banned 10.79.0.1/32'
# As a client does that nobody answers: 64 connections, each of which sends its SYN every second.
flood --from 10.79.0.20 --to 10.77.0.2:80 --first-port 65472 --count 384 --rate 64 >/dev/null
check 'a SYN that is sent again is no new one' equal "$(reached 10.79.0.20)" 384
check 'nor an offence' eval '! is_over 10.79.0.20 web && is_not_banned 10.79.0.20/32'
flood --from 10.79.9.9 --to 10.77.0.2:80 --count 1000 >/dev/null
check 'an allowed source passes, whatever it sends' equal "$(reached 10.79.9.9)" 1000
check 'nothing was told' equal "$(told told)" 0

before=$(events)
sent=$(flood --from 10.79.0.2 --to 10.77.0.2:80 --count 300000)
tap_note "one source: $sent; $(reached 10.79.0.2) SYNs reached conntrack"
check 'a source as fast as it can is held back after its burst and one' between "$(reached 10.79.0.2)" 151 \
	$((158 + $(field ns <<<"$sent") / 500000000))
check 'and banned' wait_until "$LAB_PATIENCE" is_banned 10.79.0.2/32
check 'with the evidence of its limit' tg_true 'any(.bans[]; .source == "10.79.0.2/32" and .policy == "web" and
	.limit == "new" and .action == "rate-limit" and .to == "1/1s" and .measured == 151 and .threshold == 150)' list
check 'the daemon was told once' tells 1
check 'and of hardly more flows than passed' at_most $(($(events) - before)) 800

check 'explain says who counts' tg_true \
	'.limits | map({(.policy): .packet_path}) | add == {"web": true, "repeats": true, "seen": true}' explain 10.79.0.2

ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$LAB_DIR/fuse.trace" >/dev/null 2>&1 &
recorder=$!
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'no recording'
flood --from 10.79.0.3 --to 10.77.0.2:81 --first-port 65535 --count 999 >/dev/null
check '999 SYNs on one connection are not too many' eval '! is_over 10.79.0.3 repeats && is_not_banned 10.79.0.3/32'
flood --from 10.79.0.4 --to 10.77.0.2:81 --first-port 65535 --count 1000 >/dev/null
check '1,000 are' wait_until "$LAB_PATIENCE" is_banned 10.79.0.4/32
check 'of which conntrack made one flow' equal \
	"$(on "$GUARD" conntrack -L -s 10.79.0.4 2>/dev/null | grep -c dport=81)" 1
check 'counted' tg_true 'any(.bans[]; .source == "10.79.0.4/32" and .measured == 1000)' list
check 'told once, too' tells 2
kill -INT "$recorder"
wait "$recorder"
replayed() {
	"$LAB_CLI" simulate --policy "$LAB_DIR/etc/tcpguard.yaml" --json "$LAB_DIR/fuse.trace" |
		jq -r '.decisions[] | select(.decision == "ban") | "\(.source) \(.policy)"' | sort | uniq
}
check 'a replay decides the same' equal "$(replayed | grep repeats)" '10.79.0.4/32 repeats'

flood --from 10.79.0.5 --to 10.77.0.2:82 --count 2000 >/dev/null
check 'observed, nobody is held back' equal "$(reached 10.79.0.5)" 2000
check 'and it is told as ever' wait_until "$LAB_PATIENCE" tg_true \
	'any(.bans[]; .source == "10.79.0.5/32" and (.enforced | not))' list
check 'once' tells 3

flood --from fd79:0:0:7::1 --sources 16 --to '[fd77::2]:80' --count 100000 >/dev/null
check 'IPv6 by /64' wait_until "$LAB_PATIENCE" is_banned fd79:0:0:7::/64
check 'is held back alike' between "$(reached fd79:0:0:7::)" 151 170
check 'told once more' tells 4
flood --from fd77::7 --sources 16 --to '[fd77::2]:80' --count 400 >/dev/null
check 'not a network with an address of our own in it' tells 4

# A reload. The source sends one short of the limit, and then some more.
flood --from 10.79.0.6 --to 10.77.0.2:81 --first-port 65535 --count 990 >/dev/null
tg reload >/dev/null
flood --from 10.79.0.6 --to 10.77.0.2:81 --first-port 65535 --count 20 >/dev/null
check 'a reload that keeps the limit keeps the counts' wait_until "$LAB_PATIENCE" is_banned 10.79.0.6/32
flood --from 10.79.0.7 --to 10.77.0.2:81 --first-port 65535 --count 990 >/dev/null
policy 998
tg reload >/dev/null
flood --from 10.79.0.7 --to 10.77.0.2:81 --first-port 65535 --count 20 >/dev/null
check 'another limit begins to count anew' eval '! is_over 10.79.0.7 repeats && is_not_banned 10.79.0.7/32'

quietly tg panic
flood --from 10.79.0.8 --to 10.77.0.2:80 --count 2000 >/dev/null
check 'panic lets everything pass' equal "$(reached 10.79.0.8)" 2000
quietly tg panic --off

# Far more sources than the meter has room for.
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from 10.80.0.1 \
	--sources 5000000 --stride 32 --to 10.77.0.2:80 --count 2000000000 >/dev/null 2>&1 &
forged=$!
disown
check 'a full meter is told' wait_until 60 tg_true \
	'.fuse.full > 0 and any(.degraded[]; test("^meter: the fuse of web new"))' status
tap_note "meters: $(tg_value '"\(.meter.most) of \(.fuse.room)"' status)"
sent=$(flood --from 10.79.0.9 --to 10.77.0.2:80 --count 100000)
tap_note "an offender among them: $sent; $(reached 10.79.0.9) SYNs reached conntrack"
check 'an offender among them is still held back' at_most "$(reached 10.79.0.9)" 10000
kill "$forged"
wait_until "$LAB_PATIENCE" is_gone "$forged"
check 'afterwards there is room again' wait_until 60 tg_true 'all(.degraded[]; test("^meter:") | not)' status

wait_until "$LAB_PATIENCE" eval '! is_over 10.79.0.10 web'
guard_stop KILL
flood --from 10.79.0.10 --to 10.77.0.2:80 --count 100000 >/dev/null
check 'without the daemon the fuse holds' between "$(reached 10.79.0.10)" 151 200
nothing_left() {
	local set

	for set in fused.web.new meter.web.new spill.web.new retry.web; do
		on "$GUARD" nft list set inet tcpguard "$set.ip4" | grep expires >/dev/null && return 1
	done
	return 0
}
check 'and for seconds, not for ever' wait_until 60 nothing_left
guard_start || tap_bail 'no daemon'
check 'a daemon that starts anew takes nobody for banned because of it' is_not_banned 10.79.0.10/32
flood --from 10.79.0.11 --to 10.77.0.2:80 --count 1000 >/dev/null
check 'and hears of the next one' wait_until "$LAB_PATIENCE" is_banned 10.79.0.11/32

# Another program reads what the fuses tell.
guard_stop
: >"$LAB_DIR/reader"
ip netns exec "$GUARD" python3 -c '
import socket, struct, time
reader = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
config = struct.pack("=BBH", 0, 0, socket.htons(29799)) + struct.pack("=HHB3x", 5, 1, 1)
reader.send(struct.pack("=IHHII", 16 + len(config), 4 << 8 | 1, 5, 1, 0) + config)
assert struct.unpack("=i", reader.recv(4096)[16:20])[0] == 0
print("READY", flush=True)
time.sleep(600)
' >"$LAB_DIR/reader" &
reader=$!
disown
wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/reader" || tap_bail 'no other reader'
guard_start || tap_bail 'no daemon'
check 'that nobody hears the fuses is told' wait_until "$LAB_PATIENCE" tg_true \
	'any(.degraded[]; test("^fuse: nobody hears .* another program reads it"))' status
kill "$reader"
check 'and over when it can be heard again' wait_until "$LAB_PATIENCE" tg_true \
	'all(.degraded[]; test("^fuse:") | not)' status
flood --from 10.79.0.12 --to 10.77.0.2:80 --count 1000 >/dev/null
check 'as it is' wait_until "$LAB_PATIENCE" tells 1
tap_done
