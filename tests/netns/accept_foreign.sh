#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# With others on the host: tables of others stay as they are to the byte, a foreign flush of the
# ruleset opens no door, observing touches nothing, and a lost table is put back.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

# policy MODE
policy() {
	guard_policy <<-EOF
		version: 1
		mode: $1
		policies:
		  web:
		    match: {ports: [80]}
		    limits:
		      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
	EOF
}

foreign() {
	on "$GUARD" nft -s list table inet foreign
	on "$GUARD" nft -s list table ip nat
}

lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
on "$GUARD" nft -f - <<'EOF'
table inet foreign {
	set friends {
		type ipv4_addr
		elements = { 192.0.2.1, 192.0.2.2 }
	}
	chain input {
		type filter hook input priority filter; policy accept;
		ip saddr @friends accept
		tcp dport 22 ct state new limit rate 10/minute accept
	}
}
table ip nat {
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 81 redirect to :80
	}
}
EOF
foreign >"$LAB_DIR/foreign.before"

untouched() {
	foreign | diff "$LAB_DIR/foreign.before" - | sed 's/^/# /'
	foreign | cmp -s "$LAB_DIR/foreign.before" -
}

policy observe
guard_start || tap_bail 'no daemon'
conns_start watched --from 10.78.200.1 --to 10.77.0.2:80 --count 200 --rate 2000 --timeout 500 --quiet
conns_done watched
check 'observing: every connection gets through' equal "$(field connected <"$LAB_DIR/conns.watched")" 200
check 'observing: the offence is listed as not enforced' \
	tg_true 'any(.bans[]; .source == "10.78.200.1/32" and (.enforced | not))' list
check 'observing: nothing is in the kernel' equal "$(kernel_bans | wc -l)" 0
check 'observing: status says so' equal "$(tg_value .mode status)" observe
kill "$CONNS_PID"
guard_stop TERM

policy enforce
guard_start --observe || tap_bail 'no daemon'
conns_start override --from 10.78.200.2 --to 10.77.0.2:80 --count 200 --rate 2000 --timeout 500 --quiet
conns_done override
check '--observe overrides the policy' equal "$(field connected <"$LAB_DIR/conns.override")" 200
kill "$CONNS_PID"
guard_stop TERM
check 'foreign tables are as they were' untouched
on "$GUARD" conntrack -F >/dev/null 2>&1

guard_start || tap_bail 'no daemon'
check 'a ban by hand' quietly tg ban 10.78.7.7 --for 10m
check 'and an automatic one' eval 'conns_start g --from 10.78.200.3 --to 10.77.0.2:80 --count 200 --rate 2000 --timeout 500 --quiet; conns_done g; is_banned 10.78.200.3/32'
check 'foreign tables are as they were, bans made' untouched

# A foreign flush: nobody who is banned may get in through it, not for a moment.
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-clients" --to 10.77.0.2:80 --from 10.78.7.7 --pause 0 --timeout 50 --rounds 20 \
	>"$LAB_DIR/banned" 2>&1 &
knocking=$!
on "$GUARD" nft flush ruleset
check 'after a foreign flush: the bans are there' wait_until 2 eval 'kernel_holds 10.78.7.7 && kernel_holds 10.78.200.3'
check 'after a foreign flush: new bans are made' quietly tg ban 10.78.7.8 --for 10m
check 'after a foreign flush: and held' wait_until 2 kernel_holds 10.78.7.8
wait "$knocking"
tap_note "the banned source: $(grep REPORT "$LAB_DIR/banned")"
if tg_true .table.owned status; then
	check 'the table is owned: no banned source got in' equal "$(field ok <"$LAB_DIR/banned")" 0
	check 'nobody else can delete it' eval '! on "$GUARD" nft delete table inet tcpguard 2>/dev/null'
else
	tap_note 'this kernel does not own tables'
fi

guard_stop TERM
check 'SIGTERM leaves the bans in force' kernel_holds 10.78.7.7
check 'and the source out' eval '! connects 10.78.7.7 10.77.0.2:80 300'
guard_start || tap_bail 'no daemon'
check 'they are adopted' is_banned 10.78.7.7/32
check 'panic lifts everything' quietly tg panic
check 'panic: nothing is held' wait_until 2 eval '(($(kernel_bans | wc -l) == 0))'
check 'panic: the source is let in' connects 10.78.7.7 10.77.0.2:80
guard_stop KILL
check 'panic works with the daemon dead' quietly tg panic --state-dir "$LAB_DIR/state"
check 'panic: the kernel holds nothing' equal "$(kernel_bans | wc -l)" 0
check 'panic: the table is gone' eval '! on "$GUARD" nft list table inet tcpguard >/dev/null 2>&1'

check 'panic ends when it is told to' quietly tg panic --off --state-dir "$LAB_DIR/state"

# Not owned: a flush takes the table away, and the daemon puts it back.
guard_start --plain-table || tap_bail 'no daemon'
check 'plain table: a ban' quietly tg ban 10.78.7.9 --for 10m
check 'plain table: held' wait_until 2 kernel_holds 10.78.7.9
on "$GUARD" nft flush ruleset
from=$(lab_now_ns) # nft ends when the kernel has done it
until kernel_holds 10.78.7.9 || (($(lab_now_ns) - from > 5000000000)); do :; done
milliseconds=$((($(lab_now_ns) - from) / 1000000))
tap_note "seen back $milliseconds ms after the flush, of which starting nft and python to look is the most"
check 'plain table: flushed, and back within half a second' at_most "$milliseconds" 499
check 'plain table: the repair is counted' wait_until 2 tg_true '.table.repairs > 0' status
check 'plain table: still held back' eval '! connects 10.78.7.9 10.77.0.2:80 300'
guard_stop TERM
tap_done
