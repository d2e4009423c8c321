#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prefixes: 10,000 addresses of one /64 are one source and one ban; a wider prefix is held
# responsible only when enough hosts of it take part; no ban reaches beyond its prefix.
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
    match: {ports: [80]}
    limits:
      new-per-ip: {new: 1000/1m, action: rate-limit, to: 1/1m, expire: 10m}
  mail:
    match: {ports: [25]}
    limits:
      open-per-ip: {concurrent: 40, action: rate-limit, to: 1/1m, expire: 10m}
      open-per-net:
        concurrent: 100
        source: {ipv4: 24, ipv6: 48}
        min-hosts: 16
        action: rate-limit
        to: 1/1m
        expire: 10m
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 '[fd77::2]:80' 10.77.0.2:25 '[fd77::2]:25' || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

# Rotation inside a /64: a new address for every connection.
conns_start rotate --from fd78:0:0:500::1 --sources 10000 --to '[fd77::2]:80' --count 10000 --quiet \
	--rate 5000 --timeout 300 --then close --rst
conns_done rotate
passed=$(field connected <"$LAB_DIR/conns.rotate")
tap_note "$passed of 10,000 connections of the /64 got through"
check 'one /64: one ban' equal "$(bans_of)" 'fd78:0:0:500::/64 web new-per-ip'
check 'one element in the kernel' equal "$(kernel_bans | wc -l)" 1
check 'one source' equal "$(tg_value '[.sources[] | select(.source | startswith("fd78:0:0:500:"))]
	| map(.source) | unique | join(" ")' top --count 0)" 'fd78:0:0:500::/64'
check 'which holds the rest back' at_most "$passed" 5000
check 'the /64 beside it is served' connects fd78:0:0:501::1 '[fd77::2]:80'
check 'and the one before it' connects fd78:0:0:4ff:ffff:ffff:ffff:ffff '[fd77::2]:80'
# One SYN a minute still passes, and may have been taken by one of the 10,000.
quietly connects fd78:0:0:500:ffff::1 '[fd77::2]:80' 200
check 'an address of the /64 that was never seen is not' eval '! connects fd78:0:0:500:ffff::2 "[fd77::2]:80" 200'

# net NAME FIRST STRIDE ENDPOINT HOSTS CONNECTIONS
net() {
	conns_start "$1" --from "$2" --stride "$3" --to "$4" --sources "$5" --count "$6" --quiet
	conns_done "$1"
}

# Four of each network hold more than the prefix may, but fewer than 16 take part.
net few4 10.78.90.1 32 10.77.0.2:25 4 120
net few6 fd78:0:90:1::1 64 '[fd77::2]:25' 4 120
# Not in status: how those of the other policy were closed nobody asked to be told.
check 'all of them are counted' wait_until 5 tg_true '[.sources[] | select(.policy == "mail" and (.source | test("/(24|48)$"))) |
	.states.established] | add == 240' top --count 0
check 'few hosts: no prefix is held responsible' eval '! bans_of | grep " mail " >/dev/null'
# Twenty hold as much.
net many4 10.78.91.1 32 10.77.0.2:25 20 120
check 'many hosts: the /24 is' wait_until 5 is_banned 10.78.91.0/24
net many6 fd78:0:91:1::1 64 '[fd77::2]:25' 20 120
check 'many hosts: the /48 is' wait_until 5 is_banned fd78:0:91::/48
check 'only those two, and no single address' equal "$(bans_of | grep ' mail ' | tr '\n' ';')" \
	'10.78.91.0/24 mail open-per-net;fd78:0:91::/48 mail open-per-net;'
quietly connects 10.78.91.200 10.77.0.2:25 200
check 'a host of the /24 that did nothing is limited with it' eval '! connects 10.78.91.201 10.77.0.2:25 200'
check 'its neighbours outside are served: below' connects 10.78.90.255 10.77.0.2:25
check 'and above' connects 10.78.92.0 10.77.0.2:25
check 'the /48 below, too' connects fd78:0:90:ffff::1 '[fd77::2]:25'
check 'and above' connects fd78:0:92::1 '[fd77::2]:25'
check 'the other policy does not mind' connects 10.78.91.1 10.77.0.2:80
# One host alone is judged by its own limit.
net alone 10.78.93.1 32 10.77.0.2:25 1 60
check 'one host: its own address' wait_until 5 is_banned 10.78.93.1/32
check 'and nobody beside it' connects 10.78.93.2 10.77.0.2:25
tap_done
