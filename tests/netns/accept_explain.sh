#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tcpguard explain`: of a banned source which limit, where it stands, what was measured and how to
# lift it; of a clean one how far it is from each limit; of a protected one why it is.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
PTY=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/top_pty.py

guard_policy <<'EOF'
version: 1
mode: enforce
allow: [10.78.9.0/24]
ladders:
  usual:
    steps: [{action: drop, expire: 10m}]
    forget-after: 1h
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 50, ladder: usual}
      new-per-net: {new: 1000/10s, source: {ipv4: 24, ipv6: 48}, mode: observe, action: rate-limit, to: 5/1s, expire: 1m}
      all: {half-open: 5000, source: total, action: observe, expire: 1m}
  quiet:
    mode: observe
    match: {ports: [81]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 10.77.0.2:81 '[fd77::2]:80' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# explained FILTER ADDRESS
explained() {
	tg_value "$1" explain "$2"
}

conns_start some --from 10.78.1.1 --to 10.77.0.2:80 --count 7 --quiet
conns_done some
counted() {
	equal "$(explained '.limits[] | select(.policy == "web" and .limit == "open-per-ip") | .measured' 10.78.1.1)" 7 2>/dev/null >&2
}
check 'a clean one: what it has' wait_until "$LAB_PATIENCE" counted
check 'the verdict' equal "$(explained '.verdict' 10.78.1.1)" clear
check 'no ban' equal "$(explained '"\(.ban) \(.bans | length) \(.allowed_by)"' 10.78.1.1)" 'null 0 null'
check 'of each limit' equal "$(explained '[.limits[] | "\(.policy)/\(.limit) \(.source) \(.threshold)"] | join(", ")' 10.78.1.1)" \
	'web/open-per-ip 10.78.1.1/32 50, web/new-per-net 10.78.1.0/24 1000, web/all total 5000, quiet/open-per-ip 10.78.1.1/32 10'
check 'its states' equal "$(explained '.states.established' 10.78.1.1)" 7
check 'and flows' equal "$(explained '.flows[0] | "\(.to) \(.dport)"' 10.78.1.1)" '10.77.0.2 80'
check 'for people' test "$(tg explain 10.78.1.1 | head -n 1)" = '10.78.1.1 is clear'
check 'at 80 columns' test "$(tg explain 10.78.1.1 | awk '{ if (length > most) most = length } END { print most }')" -le 80

conns_start many --from 10.78.1.2 --to 10.77.0.2:80 --count 100 --timeout 300 --quiet
conns_done many
check 'a source is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.1.2/32
check 'it is said' equal "$(explained '"\(.verdict) \(.ban.action) \(.ban.policy) \(.ban.limit) \(.ban.threshold) \(.ban.offence)"' 10.78.1.2)" \
	'banned drop web open-per-ip 50 1'
check 'with the line of the policy' equal \
	"$(explained '.limits[0] | "\(.file | split("/") | last):\(.line)"' 10.78.1.2)" tcpguard.yaml:12
page=$(tg explain 10.78.1.2)
check 'and what it says to people' grep -q 'tcpguard unban 10.78.1.2/32' <<<"$page"
check 'where' grep -q "^  stands in  $LAB_DIR/etc/tcpguard.yaml:12$" <<<"$page"
check 'that is in the JSON, too' equal "$(explained '"\(.ban.file | split("/") | last):\(.ban.line)"' 10.78.1.2)" tcpguard.yaml:12
check 'why' grep -q 'web/open-per-ip: concurrent [0-9]* > 50' <<<"$page"

conns_start silent --from 10.78.1.3 --to 10.77.0.2:81 --count 30 --quiet
conns_done silent
is_observed() {
	equal "$(explained .verdict 10.78.1.3)" observed >/dev/null
}
check 'what is only observed is told as that' wait_until "$LAB_PATIENCE" is_observed
check 'to people, too' grep -q 'observed .*: nothing is held back' <<<"$(tg explain 10.78.1.3)"

check 'who is allowed' equal "$(explained '"\(.verdict) \(.allowed_by)"' 10.78.9.7)" 'allowed 10.78.9.0/24'
check 'and the host itself' equal "$(explained '"\(.verdict) \(.protected_as)"' 10.77.0.2)" 'allowed an address of this host'
tg ban 10.78.2.0/24 --reason 'whole office' >/dev/null
check 'a network that holds it' equal "$(explained '"\(.verdict) \(.ban.source) \(.ban.origin) \(.ban.reason)"' 10.78.2.9)" \
	'banned 10.78.2.0/24 operator whole office'
# The one that holds back the most is the first, however they came.
check 'several bans' quietly eval 'tg ban 10.78.3.1 --for 3h --action rate-limit --to 5/1s && tg ban 10.78.3.0/24 --for 1h &&
	tg ban 10.78.3.0/25 --for 2h'
strongest='10.78.3.0/25 drop, 10.78.3.0/24 drop, 10.78.3.1/32 rate-limit'
check 'the strongest is told first' equal "$(explained '[.bans[] | "\(.source) \(.action)"] | join(", ")' 10.78.3.1)" "$strongest"
check 'and is the ban' equal "$(explained '.ban == .bans[0]' 10.78.3.1)" true
check 'for people, too' equal "$(tg explain 10.78.3.1 | sed -n 's/^  in force *\([^ ]*\).* of \([^ ]*\) .*/\2 \1/p' | paste -sd, | sed 's/,/, /g')" "$strongest"
check 'how to allow it for good is told once' equal "$(tg explain 10.78.3.1 | grep -c 'for good')" 1
check 'by hand there is no place' equal "$(explained '"\(.ban.file) \(.ban.line)"' 10.78.3.1)" 'null null'
quietly tg ban 10.78.3.0/25 --for 2h --reason "$(printf 'loud %.0s' {1..15})"
within() {
	on "$GUARD" python3 "$PTY" shown "$LAB_CLI" --socket "$LAB_DIR/control.sock" explain 10.78.3.1 >"$LAB_DIR/page" &&
		awk 'length > 80 {print "# too wide: " $0; wide = 1} END {exit wide}' "$LAB_DIR/page" &&
		grep -q '^             loud' "$LAB_DIR/page"
}
check 'on a terminal of 80 columns long lines go on below' within
conns_start both --from 10.78.1.4 --to 10.77.0.2:81 --count 30 --quiet
conns_done both
is_observed_alone() {
	equal "$(explained '"\(.verdict) \(.ban.action)"' 10.78.1.4)" 'observed drop' >/dev/null
}
wait_until "$LAB_PATIENCE" is_observed_alone
quietly tg ban 10.78.1.4 --for 5m --action rate-limit --to 5/1s
check 'what is in force comes before what is observed' equal \
	"$(explained '[.bans[] | "\(.action) \(.enforced)"] | join(", ")' 10.78.1.4)" 'rate-limit true, drop false'
check 'IPv6' equal "$(explained '"\(.source) \(.verdict)"' fd78:0:0:1::1)" 'fd78:0:0:1::1/128 clear'

# Names: what the hosts file knows; the lab's name server never answers. Whoever owns an address
# wrote its name.
printf '10.78.2.9 bad.example\n10.78.1.1 greedy.example\n' >"/etc/netns/$GUARD/hosts"
check 'its name is not asked for' equal "$(explained '.name' 10.78.1.1)" null
check 'unless somebody wants it' equal "$(tg explain --resolve --json 10.78.1.1 | jq -r .name)" greedy.example
check 'in words, too' quietly eval 'tg explain --resolve 10.78.1.1 | grep "name  *greedy.example"'
begun=$(lab_now_ns)
check 'a name server that does not answer' equal "$(tg explain --resolve --json 10.78.7.7 | jq -r .name)" null
check 'is not waited for' at_most $((($(lab_now_ns) - begun) / 1000000)) 4000
check 'the list has names' quietly eval 'tg ban 10.78.2.9 && tg ban 10.78.8.8 && tg list --resolve | grep "10.78.2.9/32 bad.example"'
check 'as JSON, too' equal "$(tg list --resolve --json | jq -r '.bans[] | select(.source == "10.78.2.9/32" or .source == "10.78.8.8/32") |
	"\(.source) \(.name)"' | sort)" '10.78.2.9/32 bad.example
10.78.8.8/32 null'

wrong() {
	tg explain "$1" >/dev/null 2>&1
	(($? == 2))
}
check 'a network is refused' wrong 10.78.1.0/24
check 'a word is refused' wrong somebody
tap_done
