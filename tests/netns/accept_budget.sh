#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A forged flood of SYNs meets a budget ahead of conntrack: the service is in that state as long as
# the flood lasts, and comes out of it by itself. Who is known to be real passes by the budget;
# connections that are open notice nothing; a crash of the daemon neither ends nor prolongs it.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

policy() {
	guard_policy <<EOP
version: 1
mode: $1
policies:
  web:
    match: {ports: [80]}
    limits:
      forged: {half-open: 2000, source: total, action: rate-limit, to: 50/1s, expire: 6s}
EOP
}

policy enforce
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# mode FILTER: what the list says of the service.
mode() {
	tg_true "any(.bans[]; .source == \"total\" and .limit == \"forged\" and ($1))" list
}

over() {
	! mode true
}

entries() {
	on "$GUARD" cat /proc/sys/net/netfilter/nf_conntrack_count
}

opened() {
	on "$GUARD" ss -Htn state established "src 10.77.0.2:80 and dst 10.78.1.0/24" | wc -l
}

# in_set SET ADDRESS
in_set() {
	on "$GUARD" nft get element inet tcpguard "$1" "{ $2 }" >/dev/null 2>&1
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

conns_start open --from 10.78.1.1 --sources 5 --stride 32 --to 10.77.0.2:80 --count 50 --talk 20 --quiet
conns_done open
open=$CONNS_PID
clients_start known 10.77.0.2:80 10.78.2.1 20 32
clients_report || tap_bail 'the clients do not answer'

: >"$LAB_DIR/flood.out"
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$LAB_DIR/flood.trace" \
	>"$LAB_DIR/flood.out" 2>&1 &
recorder=$!
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'no recording'
flood_begin 10.80.0.1 32 10.77.0.2:80
check 'a flood puts the service into the mode' wait_until "$LAB_PATIENCE" mode '.enforced and .action == "rate-limit"'
check 'the kernel holds it, and its end' wait_until "$LAB_PATIENCE" eval \
	'on "$GUARD" nft list set inet tcpguard web-budget.forged | grep "tcp.*limit rate over 50/second.*expires" >/dev/null'
check 'who has a connection is known' wait_until "$LAB_PATIENCE" in_set web-verified-ip4-32 10.78.1.5
check 'who had one shortly before, too' wait_until "$LAB_PATIENCE" in_set web-verified-ip4-32 10.78.2.20
clients_report || tap_bail 'the clients do not answer'
tap_note "while it was entered: $CLIENTS_OK ok, $CLIENTS_FAILED failed, p95 $CLIENTS_P95_US us"
before=$(entries)
since=$(lab_now_ns)
wait_until "$LAB_PATIENCE" mode '.packets > 40000' || tap_note "dropped: $(tg_value '.bans[0].packets' list)"
clients_report || tap_bail 'the clients do not answer'
took=$((($(lab_now_ns) - since) / 1000000))
grown=$(($(entries) - before))
tap_note "in $took ms of the flood conntrack grew by $grown; clients: $CLIENTS_OK ok, $CLIENTS_FAILED failed, p95 $CLIENTS_P95_US us"
check 'what gets through is the budget' at_most "$grown" $((took * 50 / 1000 + 1500))
check 'the known are served' test "$CLIENTS_OK" -gt 50
check 'all of them' equal "$CLIENTS_FAILED" 0
check 'at once' test "$CLIENTS_P95_US" -lt 900000
check 'nobody is banned for it' equal "$(bans_of)" 'total web forged'
check 'it lasts as long as the flood' wait_until "$LAB_PATIENCE" mode '(.since | fromdate) < now - 9'

kill -INT "$recorder"
wait "$recorder"
# services FILTER: of what the replay decides about the service.
replayed() {
	"$LAB_CLI" simulate --policy "$LAB_DIR/etc/tcpguard.yaml" --json "$LAB_DIR/flood.trace" |
		jq -e "[.decisions[] | select(.source == \"total\")] | $1" >/dev/null
}
check 'a replay decides the same' replayed 'length > 1 and .[0].decision == "ban" and
	all(.[1:][]; .decision == "extend" or .decision == "expire" or .decision == "lift")'

guard_stop KILL
guard_start || tap_bail 'no daemon'
check 'a daemon that starts anew takes the mode over' mode '.enforced'
check 'and the state of a service is nothing for the disk' eval '! grep damaged "$LAB_DIR/guard.log" >/dev/null'
check 'and goes on with it' wait_until "$LAB_PATIENCE" tg_true '.bans.extended > 0' status

since=$(lab_now_ns)
flood_end
check 'after the flood it ends' wait_until "$LAB_PATIENCE" over
took=$((($(lab_now_ns) - since) / 1000000))
tap_note "over after $took ms"
check 'not before it has been quiet for its time' test "$took" -ge 5500
check 'the kernel has let go of it' wait_until "$LAB_PATIENCE" eval \
	'! on "$GUARD" nft list set inet tcpguard web-budget.forged | grep "expires" >/dev/null'
check 'what is still half-open does not bring it back' eval \
	'connects 10.78.3.1 10.77.0.2:80 3000 && over'
check 'the connections that were open are open' equal "$(opened)" 50
conns_stop "$open"

# Nobody whose SYN comes within the second after the flood, which still counts.
conns_stop "${LAB_CLIENTS[0]##*:}"
flood_begin fd80::1 64 '[fd77::2]:80'
check 'IPv6 alike' wait_until "$LAB_PATIENCE" mode '.enforced and .packets > 1000'
flood_end
tg unban --all >/dev/null
check 'and out of it by hand' over

guard_stop
policy observe
wait_until 60 eval '(($(entries) < 1000)) || on "$GUARD" conntrack -F 2>/dev/null'
guard_start || tap_bail 'no daemon'
flood_begin 10.80.0.1 32 10.77.0.2:80
check 'observed, it is told' wait_until "$LAB_PATIENCE" mode '.enforced | not'
check 'and the kernel holds nothing' eval \
	'! on "$GUARD" nft list set inet tcpguard web-budget.forged | grep expires >/dev/null'
flood_end
check 'and ends' wait_until "$LAB_PATIENCE" over
tap_done
