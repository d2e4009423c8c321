#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In a forged flood the kernel answers SYNs in the service's stead: clients that nobody knows get
# through, with the options that the service itself would have offered, behind a firewall that drops
# what is invalid; no connection breaks when that begins or ends; and a host that is not made for it
# is left alone.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80], addresses: [10.77.0.2, "fd77::2"]}
    limits:
      forged: {half-open: 2000, source: total, action: synproxy, expire: 6s}
  # Another buffer, and so another answer: a policy of its own.
  small:
    match: {ports: [81]}
    limits:
      forged: {half-open: 2000, source: total, action: synproxy, expire: 6s}
  behind:
    match: {ports: [80], addresses: [10.88.0.0/24, "fd88::/64"]}
    synproxy: {mss: 1400, window-scale: 5, timestamps: true, sack: true}
    limits:
      forged: {half-open: 2000, source: total, action: synproxy, expire: 6s}
EOP
lab_router || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
lab_serve "$SERVER" 10.88.0.2:80 '[fd88::2]:80' || tap_bail 'no server behind'
# As a careful admin has it: what is invalid goes, and so does who must not come.
on "$GUARD" nft -f - <<'EOF'
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		meta l4proto { icmp, ipv6-icmp } accept
		ip saddr 10.78.66.0/24 drop
		tcp dport { 80, 81 } accept
	}
}
EOF
# Its buffer, and so its window, is smaller than the kernel would make it.
cat >"$LAB_DIR/small.py" <<'EOF'
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
listener.bind(("10.77.0.2", 81))
listener.listen()
print("READY", flush=True)
while True:
    client = listener.accept()[0]
    client.send(client.recv(1))
    client.close()
EOF
small_listener() {
	: >"$LAB_DIR/small.out"
	ip netns exec "$GUARD" python3 "$LAB_DIR/small.py" >"$LAB_DIR/small.out" 2>&1 &
	disown
	wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/small.out"
}

# offers ENDPOINT SOURCE: what a SYN of that source is answered with.
cat >"$LAB_DIR/offers.py" <<'EOF'
import socket, struct, sys
client = socket.socket()
client.bind((sys.argv[3], 0))
client.settimeout(5)
client.connect((sys.argv[1], int(sys.argv[2])))
client.send(b"hello\n")
client.recv(1)
info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
print("options %d scale %d mss %d" % (info[5] & 7, info[6] & 15, struct.unpack_from("I", info, 16)[0]))
EOF
offers() {
	on "$CLIENT" python3 "$LAB_DIR/offers.py" "${1%:*}" "${1##*:}" "$2" 2>&1
}

mode() {
	tg_true "any(.bans[]; .source == \"total\" and .policy == \"$1\" and ($2))" list
}

over() {
	! mode "$1" true
}

entries() {
	on "$GUARD" cat /proc/sys/net/netfilter/nf_conntrack_count
}

flood_begin() {
	ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from "$1" \
		--sources 200000 --stride "$2" --to "$3" --count 100000000 --rate 20000 >/dev/null 2>&1 &
	flood=$!
	disown
}

flood_end() {
	kill "$flood"
	wait_until "$LAB_PATIENCE" is_gone "$flood"
}

# strangers NAME FROM TO: a hundred clients whom nobody knows, one after the other.
strangers() {
	conns_start "$1" --from "$2" --sources 100 --stride "${4:-32}" --to "$3" --count 100 --rate 200 \
		--timeout 4000 --quiet --hold 0
	conns_done "$1" || tap_bail 'the connects do not end'
	tap_note "$1: $(grep DONE "$LAB_DIR/conns.$1")"
	test "$(field connected <"$LAB_DIR/conns.$1")" -eq 100
}

degraded() {
	tg_true 'any(.degraded[]; startswith("synproxy"))' status
}

on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
guard_start || tap_bail 'no daemon'
check 'a host whose sysctls are wrong is told so' wait_until "$LAB_PATIENCE" degraded
check 'by name' grep -q 'sysctl -w net.netfilter.nf_conntrack_tcp_loose=0$' "$LAB_DIR/guard.log"
flood_begin 10.80.0.1 32 10.77.0.2:80
check 'it only observes there' wait_until "$LAB_PATIENCE" mode web '.enforced | not'
flood_end
tg unban --all >/dev/null
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
check 'set right, it is ready without being asked' wait_until "$LAB_PATIENCE" eval '! degraded'
on "$GUARD" conntrack -F 2>/dev/null
small_listener || tap_bail 'no small listener'
plain=$(offers 10.77.0.2:80 10.78.7.1)
small=$(offers 10.77.0.2:81 10.78.7.2)
forwarded=$(offers 10.88.0.2:80 10.78.7.3)
tap_note "plain: $plain; small buffer: $small; behind: $forwarded"
scale_of() {
	local rest=${1##*scale }

	echo "${rest%% *}"
}
answers() {
	on "$GUARD" nft list chain inet tcpguard "answer-$1" | grep "$2" >/dev/null
}
check 'the small buffer has a smaller scale' test "$(scale_of "$small")" -lt "$(scale_of "$plain")"
promised() {
	on "$GUARD" nft list chain inet tcpguard "answer-$1" |
		sed -n 's/.*ipv4 .* synproxy mss 1460 wscale \([0-9]*\) timestamp sack-perm.*/\1/p'
}
# How much of a buffer is window has changed from kernel to kernel, and less does no harm.
check 'what is promised is what the listeners have' wait_until "$LAB_PATIENCE" eval \
	'((scale = $(scale_of "$small"), $(promised small) <= scale && $(promised small) >= scale - 1))'
check 'as the kernel chooses it, of a buffer that nobody set' equal "$(promised web)" "$(scale_of "$plain")"
check 'to IPv6, too' answers web "ipv6 .* synproxy mss 1440 wscale $(scale_of "$plain") timestamp sack-perm"
check 'of what is behind, what the policy says' answers behind 'ipv4 .* synproxy mss 1400 wscale 5 '

conns_start open --from 10.78.1.1 --sources 5 --stride 32 --to 10.77.0.2:80 --count 50 --talk 20 --quiet
conns_done open
open=$CONNS_PID
opened() {
	on "$GUARD" ss -Htn state established "src 10.77.0.2:80 and dst 10.78.1.0/24" | wc -l
}
: >"$LAB_DIR/flood.out"
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$LAB_DIR/flood.trace" \
	>"$LAB_DIR/flood.out" 2>&1 &
recorder=$!
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'no recording'

flood_begin 10.80.0.1 32 10.77.0.2:80
check 'a flood puts the service into the mode' wait_until "$LAB_PATIENCE" mode web '.enforced and .action == "synproxy"'
check 'and no other' over behind
check 'the kernel holds it, and its end' wait_until "$LAB_PATIENCE" eval \
	'on "$GUARD" nft list set inet tcpguard web-synproxy.forged | grep "tcp counter.*expires" >/dev/null'
before=$(entries)
check 'clients that nobody knows are served' strangers four 10.78.20.1 10.77.0.2:80
check 'those of IPv6 alike' strangers six fd78:0:0:20::1 '[fd77::2]:80' 64
proxied=$(offers 10.77.0.2:80 10.78.7.4)
tap_note "in the mode: $proxied"
check 'with the options of the service' equal "$proxied" "$plain"
check 'who comes again passes by' equal "$(offers 10.77.0.2:80 10.78.7.4)" "$plain"
check 'who must not come is not answered' eval '! connects 10.78.66.1 10.77.0.2:80 1500'
wait_until "$LAB_PATIENCE" mode web '.packets > 40000'
tap_note "conntrack: $before before, $(entries) after $(tg_value '.bans[0].packets' list) SYNs"
check 'conntrack sees none of the flood' at_most "$(entries)" $((before + 1000))
check 'it lasts as long as the flood' wait_until "$LAB_PATIENCE" mode web '(.since | fromdate) < now - 9'
check 'the connections that were open are open' equal "$(opened)" 50
check 'nobody is banned for it' equal "$(bans_of)" 'total web forged'

kill -INT "$recorder"
wait "$recorder"
check 'a replay decides the same' eval '
	"$LAB_CLI" simulate --policy "$LAB_DIR/etc/tcpguard.yaml" --json "$LAB_DIR/flood.trace" |
		jq -e "[.decisions[] | select(.source == \"total\")] | length > 1 and
			.[0].decision == \"ban\" and .[0].action == \"synproxy\" and all(.[1:][]; .decision == \"extend\")" >/dev/null'

guard_stop KILL
guard_start || tap_bail 'no daemon'
check 'a daemon that starts anew takes the mode over' mode web '.enforced and .action == "synproxy"'
conns_start long --from 10.78.30.1 --sources 20 --stride 32 --to 10.77.0.2:80 --count 20 --talk 20 --quiet
conns_done long
long=$CONNS_PID
longs() {
	on "$GUARD" ss -Htn state established "src 10.77.0.2:80 and dst 10.78.30.0/24" | wc -l
}
since=$(lab_now_ns)
flood_end
check 'after the flood it ends' wait_until "$LAB_PATIENCE" over web
took=$((($(lab_now_ns) - since) / 1000000))
tap_note "over after $took ms"
check 'not before it has been quiet for its time' test "$took" -ge 5500
check 'the kernel has let go of it' wait_until "$LAB_PATIENCE" eval \
	'! on "$GUARD" nft list set inet tcpguard web-synproxy.forged | grep "expires" >/dev/null'
check 'the connections that were open are open' equal "$(opened)" 50
check 'and those that began meanwhile' equal "$(longs)" 20
# Answered in the state's last moment, a client may finish for a while.
check 'the door closes a moment later' wait_until "$LAB_PATIENCE" eval \
	'! on "$GUARD" nft list set inet tcpguard web-proxied.forged | grep "expires" >/dev/null'
check 'and all goes on as before' equal "$(offers 10.77.0.2:80 10.78.7.6)" "$plain"
check 'with those connections, too' equal "$(opened) $(longs)" '50 20'
# The kernel goes on translating for them, whatever the policy says now.
sed -i.before '/action: synproxy/s/action: synproxy/action: observe/; /synproxy: {/d' "$LAB_DIR/etc/tcpguard.yaml"
tg reload >/dev/null
check 'a policy without it takes its rules out' eval '! on "$GUARD" nft list chain inet tcpguard answer-web >/dev/null 2>&1'
heard() {
	on "$GUARD" ss -Htin state established "src 10.77.0.2:80 and dst 10.78.30.0/24" |
		grep -o 'bytes_acked:[0-9]*' | awk -F: '{ sum += $2 } END { print sum + 0 }'
}
said_so_far=$(heard)
check 'those connections go on' wait_until "$LAB_PATIENCE" eval "((\$(heard) > $said_so_far + 2000))"
mv "$LAB_DIR/etc/tcpguard.yaml.before" "$LAB_DIR/etc/tcpguard.yaml"
tg reload >/dev/null
conns_stop "$open"
conns_stop "$long"

flood_begin 10.80.0.1 32 10.88.0.2:80
check 'what is forwarded can be in the mode' wait_until "$LAB_PATIENCE" mode behind '.enforced'
check 'its clients are served' strangers behind 10.78.40.1 10.88.0.2:80
proxied=$(offers 10.88.0.2:80 10.78.7.7)
tap_note "behind, in the mode: $proxied"
check 'with what the policy says' equal "$(scale_of "$proxied")" 5
flood_end
guard_stop KILL
check 'without a daemon it ends by itself' wait_until "$LAB_PATIENCE" eval \
	'! on "$GUARD" nft list set inet tcpguard behind-synproxy.forged | grep "expires" >/dev/null'
tap_done
