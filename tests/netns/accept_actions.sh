#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The words of a policy on real traffic: cap, reject, drop of everything and kill do what they say
# to who offends, and nothing to who stands beside; by hand also to what goes to a host behind.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOF'
version: 1
mode: enforce
brakes: {max-share-of-sources: none}
policies:
  capped:
    match: {ports: [81]}
    limits:
      open-per-ip: {concurrent: 10, action: cap, to: 5, expire: 10m}
  refused:
    match: {ports: [82]}
    limits:
      open-per-ip: {concurrent: 10, action: reject, expire: 10m}
  later:
    match: {ports: [83]}
    limits:
      open-per-ip: {concurrent: 10, action: reject, scope: new, expire: 10m}
  shut:
    match: {ports: [84]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, scope: everything, expire: 10m}
  ended:
    match: {ports: [85]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, kill: true, expire: 10m}
  others:
    match: {ports: [80, 8080]}
    limits:
      open-per-ip: {concurrent: 1000, action: drop, expire: 10m}
EOF
lab_router || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:{80..85} '[fd77::2]':{80..85} || tap_bail 'no server'
lab_serve "$SERVER" 10.88.0.2:80 '[fd88::2]:80' || tap_bail 'no server behind'
guard_start || tap_bail 'no daemon'

# sockets NAMESPACE FILTER: that are open there.
sockets() {
	on "$1" ss -Htn state established "$2" | wc -l
}

holds() {
	(($(sockets "$1" "$2") == $3))
}

# acted SOURCE ACTION SCOPE: proven, and in force.
acted() {
	tg_true "any(.bans[]; .source == \"$1\" and .enforced and (.unproven | not) and
		.action == \"$2\" and .scope == \"$3\")" list
}

# answer SOURCE ADDRESS PORT: what a connect gets: open, refused or silence.
answer() {
	on "$CLIENT" python3 - "$@" <<-'EOF'
		import socket, sys
		family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		s = socket.socket(family)
		s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
		s.bind((sys.argv[1], 0))
		s.settimeout(1)
		try:
		    s.connect((sys.argv[2], int(sys.argv[3])))
		    print("open")
		except ConnectionRefusedError:
		    print("refused")
		except OSError:
		    print("silence")
	EOF
}

# offends NAME SOURCE ENDPOINT: 11 connections that go on talking.
offends() {
	conns_start "$1" --from "$2" --to "$3" --count 11 --talk 50 --quiet
	conns_done "$1" || tap_bail "$1: the connects do not end"
}

# more NAME SOURCE ENDPOINT: of 10 new connections, which stay, so many succeed.
more() {
	conns_start "$1" --from "$2" --to "$3" --count 10 --window 1 --timeout 300 --quiet
	conns_done "$1" || tap_bail "$1: the connects do not end"
	field connected <"$LAB_DIR/conns.$1"
}

# bare ENDPOINT: its address.
bare() {
	local host=${1%:*}

	host=${host#\[}
	echo "${host%\]}"
}

# policies_of TAG HOST FORMAT LEN NEIGHBOUR: FORMAT gives offenders' addresses, LEN is the length of
# what is counted as one.
policies_of() {
	local tag=$1 host=$2 format=$3 len=$4 neighbour=$5 address a

	# shellcheck disable=SC2059 # the format is given
	offender() { printf "$format" "$1"; }
	address=$(bare "$host:0")

	a=$(offender 81)
	offends "cap$tag" "$a" "$host:81"
	check "$tag: cap: the offender is capped" wait_until 5 acted "$(source_of "$a" "$len")" cap new
	check "$tag: cap: what it has goes on" holds "$GUARD" "dst $(quoted "$a") sport = 81" 11
	check "$tag: cap: at most so many more" at_most "$(more "more$tag" "$a" "$host:81")" 5
	check "$tag: cap: its other ports do not mind" equal "$(answer "$a" "$address" 80)" open

	a=$(offender 82)
	offends "reject$tag" "$a" "$host:82"
	check "$tag: reject: the offender is rejected" wait_until 5 acted "$(source_of "$a" "$len")" reject ports
	check "$tag: reject: what it has ends by a reset" wait_until 5 holds "$CLIENT" "src $(quoted "$a")" 0
	check "$tag: reject: a new one is refused at once" equal "$(answer "$a" "$address" 82)" refused
	check "$tag: reject: other ports are open" equal "$(answer "$a" "$address" 80)" open

	a=$(offender 83)
	offends "later$tag" "$a" "$host:83"
	check "$tag: reject new: the offender is rejected" wait_until 5 acted "$(source_of "$a" "$len")" reject new
	check "$tag: reject new: a new one is refused" equal "$(answer "$a" "$address" 83)" refused
	check "$tag: reject new: what it has goes on" holds "$CLIENT" "src $(quoted "$a")" 11

	a=$(offender 84)
	offends "shut$tag" "$a" "$host:84"
	check "$tag: everything: the offender is dropped" wait_until 5 acted "$(source_of "$a" "$len")" drop everything
	check "$tag: everything: no port answers" equal "$(answer "$a" "$address" 84) $(answer "$a" "$address" 80)" \
		'silence silence'
	check "$tag: everything: nor the host behind" equal "$(answer "$a" "$address" 8080)" silence

	a=$(offender 85)
	offends "ended$tag" "$a" "$host:85"
	check "$tag: kill: the offender is dropped" wait_until 5 acted "$(source_of "$a" "$len")" drop ports
	check "$tag: kill: its sockets are gone" wait_until 5 holds "$GUARD" "dst $(quoted "$a")" 0
	check "$tag: kill: and it was told" wait_until 5 holds "$CLIENT" "src $(quoted "$a")" 0
	check "$tag: kill: the port is silent" equal "$(answer "$a" "$address" 85)" silence
	check "$tag: kill: other ports are open" equal "$(answer "$a" "$address" 80)" open

	for a in {80..85} 8080; do
		check "$tag: the neighbour gets port $a" equal "$(answer "$neighbour" "$address" "$a")" open
	done
}

# source_of ADDRESS LEN: what is counted as one.
source_of() {
	if [[ $1 == *:* ]]; then
		echo "${1%::*}::/$2"
	else
		echo "$1/$2"
	fi
}

# For ss.
quoted() {
	if [[ $1 == *:* ]]; then
		echo "[$1]"
	else
		echo "$1"
	fi
}

# by_hand TAG ADDRESS NEIGHBOUR ENDPOINT: what goes through the guard to a host behind.
by_hand() {
	local tag=$1 a=$2 beside=$3 to=$4 host port=${4##*:}

	host=$(bare "$to")
	check "$tag: by hand: open before" equal "$(answer "$a" "$host" "$port")" open
	quietly tg ban "$a" --action cap --to 3
	check "$tag: by hand: a cap of 3 lets 3 through" equal "$(more "hand$tag" "$a" "$to")" 3
	quietly tg ban "$a" --action reject --scope new
	check "$tag: by hand: rejected" equal "$(answer "$a" "$host" "$port")" refused
	check "$tag: by hand: what is open stays" holds "$SERVER" "dst $(quoted "$a")" 3
	quietly tg ban "$a" --action drop --scope everything
	check "$tag: by hand: dropped" equal "$(answer "$a" "$host" "$port")" silence
	check "$tag: by hand: the neighbour is served" equal "$(answer "$beside" "$host" "$port")" open
	quietly tg unban "$a"
	check "$tag: by hand: and free again" equal "$(answer "$a" "$host" "$port")" open
	conns_stop "$CONNS_PID"
}

policies_of v4 10.77.0.2 10.78.20.%s 32 10.78.20.86
policies_of v6 '[fd77::2]' fd78:0:0:20%s::1 64 fd78:0:0:2086::1
by_hand dnat4 10.78.30.1 10.78.30.2 10.77.0.2:8080
by_hand dnat6 fd78:0:0:3001::1 fd78:0:0:3002::1 '[fd77::2]:8080'
by_hand forwarded4 10.78.30.3 10.78.30.4 10.88.0.2:80
by_hand forwarded6 fd78:0:0:3003::1 fd78:0:0:3004::1 '[fd88::2]:80'
check 'nobody else is banned' equal "$(tg_value '.bans | length' list)" 10
tap_done
