#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Beside firewalld and iptables-nft: their tables are the same to the letter whatever we do, our
# bans hold whatever they do, reload and restore included, and who is not banned gets through both.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=../packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"
lab_begin
UNPACKED=$(dirname "${BASH_SOURCE[0]}")/../../build-packages
packages_unpack "$UNPACKED" firewalld python3-firewall || tap_bail 'no firewalld to be had'
UNPACKED=$(realpath "$UNPACKED")
export PYTHONPATH=$UNPACKED/usr/lib/python3/dist-packages

guard_policy <<'EOF'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 50, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' || tap_bail 'no server'

# A bus of its own: the machine's neither needs to be there nor is to hear of this.
bus_start() {
	cat >"$LAB_DIR/bus.conf" <<-EOF
		<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
		 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig>
		<type>system</type>
		<listen>unix:path=$LAB_DIR/bus</listen>
		<auth>EXTERNAL</auth>
		<policy context="default">
		<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
		</policy>
		</busconfig>
	EOF
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$LAB_DIR/bus
	ip netns exec "$GUARD" dbus-daemon --config-file="$LAB_DIR/bus.conf" --nofork >"$LAB_DIR/bus.log" 2>&1 &
	disown
	wait_until "$LAB_PATIENCE" test -S "$LAB_DIR/bus"
}

firewall_cmd() {
	"$UNPACKED/usr/bin/firewall-cmd" "$@"
}

is_running() {
	firewall_cmd --state >/dev/null 2>&1
}

firewalld_start() {
	mkdir -p "$LAB_DIR/firewalld"
	ip netns exec "$GUARD" "$UNPACKED/usr/sbin/firewalld" --nofork --nopid \
		--default-config "$UNPACKED/usr/lib/firewalld" --system-config "$LAB_DIR/firewalld" \
		--log-file "$LAB_DIR/firewalld.log" >"$LAB_DIR/firewalld.out" 2>&1 &
	disown
	wait_until "$LAB_PATIENCE" is_running
}

# Everything that is not ours, as text. Counters of packets are not the rules.
theirs() {
	on "$GUARD" nft -s list ruleset 2>/dev/null | awk '/^table / { ours = /inet tcpguard/ } !ours'
}

# holds WHEN: the banned are out, the others in, by both families.
holds() {
	check "$1: by hand, out" eval '! connects 10.78.7.7 10.77.0.2:80 300'
	check "$1: a network of IPv6, out" eval '! connects fd78:0:0:7::1 "[fd77::2]:80" 300'
	check "$1: automatic, out" eval '! connects 10.78.200.3 10.77.0.2:80 300'
	check "$1: others, in" connects 10.78.1.1 10.77.0.2:80 3000
	check "$1: of IPv6, too" connects fd78:0:0:1::1 '[fd77::2]:80' 3000
}

# What we do: bans of every kind, a reload, a crash, an end, a panic.
bans() {
	tg ban 10.78.7.7 >/dev/null && tg ban fd78:0:0:7::/64 >/dev/null &&
		tg ban 10.78.7.8 --action reject >/dev/null && tg ban 10.78.7.9 --action cap --to 3 >/dev/null ||
		return 1
	conns_start greedy --from 10.78.200.3 --to 10.77.0.2:80 --count 200 --timeout 300 --quiet
	conns_done greedy
	conns_stop "$CONNS_PID"
	wait_until "$LAB_PATIENCE" is_dropped 10.78.200.3/32
}

same() {
	theirs | diff "$LAB_DIR/theirs" - >"$LAB_DIR/diff" || {
		sed 's/^/# /' "$LAB_DIR/diff" | head -20
		return 1
	}
}

all_we_do() {
	theirs >"$LAB_DIR/theirs"
	check "$1: bans are made" bans
	check "$1: theirs is the same" same
	check "$1: a reload" quietly tg reload
	guard_stop KILL
	guard_start || tap_bail 'no daemon'
	check "$1: theirs is the same after a crash" same
}

bus_start || tap_bail 'no bus'
firewalld_start || tap_bail "no firewalld: $(tail -n 3 "$LAB_DIR/firewalld.log")"
quietly firewall_cmd --add-port 80/tcp
quietly firewall_cmd --permanent --add-port 80/tcp
guard_start || tap_bail 'no daemon'
all_we_do firewalld
holds 'beside firewalld'
check 'firewalld reloads' quietly firewall_cmd --reload
check 'its table is its own again' same
holds 'after its reload'
check 'firewalld loads all anew' quietly firewall_cmd --complete-reload
holds 'after its complete reload'
check 'status is whole' tg_true '.health == "ok"' status
pkill -f "system-config $LAB_DIR/firewalld"
on "$GUARD" nft delete table inet firewalld

# The rules that a pasted script leaves, in the old language.
on "$GUARD" iptables-nft -A INPUT -p tcp --dport 80 -j ACCEPT
on "$GUARD" iptables-nft -A INPUT -p tcp --dport 81 -m connlimit --connlimit-above 10 -j DROP
on "$GUARD" iptables-nft -t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80
on "$GUARD" ip6tables-nft -A INPUT -p tcp --dport 80 -j ACCEPT
tg unban --all >/dev/null
all_we_do iptables
holds 'beside iptables'
on "$GUARD" iptables-nft-save >"$LAB_DIR/saved"
check 'iptables-restore' eval 'on "$GUARD" iptables-nft-restore <"$LAB_DIR/saved"'
holds 'after a restore'
check 'a redirected port is no way round' eval '! connects 10.78.7.7 10.77.0.2:8080 300'

# A script that begins with a flush, as most do.
printf 'flush ruleset\ntable inet script {\n\tchain in {\n\t\ttype filter hook input priority 0\n\t\ttcp dport 80 accept\n\t}\n}\n' >"$LAB_DIR/script.nft"
check 'nft -f of a whole ruleset' on "$GUARD" nft -f "$LAB_DIR/script.nft"
check 'the script is there' on "$GUARD" nft list table inet script
holds 'after a whole ruleset'

second() {
	on "$GUARD" "$LAB_DAEMON" --config "$LAB_DIR/etc/tcpguard.yaml" --state-dir "$LAB_DIR/second" \
		--socket "$LAB_DIR/second.sock" >"$LAB_DIR/second.log" 2>&1
	(($? == 4))
}
check 'a second tcpguardd does not start' second
check 'and says why' grep -q 'another process owns table inet tcpguard' "$LAB_DIR/second.log"
holds 'after its try'
tap_done
