#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Completion in real shells: live addresses of bans for unban, kill, explain and `events --source`.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || tap_bail 'no tests'
scripts=$tests/../src/cli/completion

guard_policy <<'EOP'
version: 1
mode: enforce
policies:
  web: {match: {ports: [80]}, limits: {open-per-ip: {concurrent: 50, action: drop, expire: 10m}}}
EOP
lab_pair || tap_bail 'no lab'
guard_start || tap_bail 'no daemon'
export PATH=${LAB_CLI%/*}:$PATH

# offered WORD…: what may follow, without what it is about, in one line
offered() {
	tcpguard --complete --socket "$LAB_DIR/control.sock" "$@" | cut -f 1 | sort | paste -sd ' '
}

# pressed SHELL all|one LINE: what the shell makes of a line behind the socket's path
pressed() {
	local begin="tcpguard --socket=$LAB_DIR/control.sock "

	if [[ $1 == fish ]]; then
		HOME=$LAB_DIR fish --no-config -c "source $scripts/tcpguard.fish; complete -C \$argv[1]" -- "$begin$3" </dev/null |
			cut -f 1 | paste -sd ' '
	else
		"$tests/golden/completion/press.py" "$1" "$scripts" "$2" "$begin$3" | sed "s|^$begin||; s/ *$//"
	fi
}

# offers WANT COMMAND…: soon, for on a busy machine the daemon may take longer than a shell waits
offers() {
	local want=$1 got

	shift
	is_offered() {
		got=$("$@")
		[[ $got == "$want" ]]
	}
	wait_until "$LAB_PATIENCE" is_offered "$@" || equal "$got" "$want"
}

check 'no bans, no addresses' offers '' offered unban ''
tg ban 10.78.5.1 --reason $'a\ttab, \e[31mred, a : and a % of it' >/dev/null
tg ban 10.78.6.0/24 >/dev/null
tg ban fd78:0:0:5::/64 >/dev/null
tg ban fd78:0:0:6::1 >/dev/null
all='10.78.5.1 10.78.6.0/24 fd78:0:0:5::/64 fd78:0:0:6::1'
check 'unban: all of them' offers "$all" offered unban ''
check 'kill' offers "$all" offered kill ''
check 'events --source' offers "$all" offered events --source ''
check 'and with =' offers '--source=fd78:0:0:6::1' offered events --source=fd78:0:0:6
check 'explain takes addresses only' offers '10.78.5.1 10.78.6.0 fd78:0:0:5:: fd78:0:0:6::1' offered explain ''
check 'one that has begun' offers '10.78.6.0/24' offered unban 10.78.6
check 'none that fits' offers '' offered unban 10.79
check 'one has been given' offers '' offered unban 10.78.5.1 1
check 'not of ban' offers '' offered ban ''
about() {
	tcpguard --complete --socket "$LAB_DIR/control.sock" unban 10.78.5 | tr -d '\n' | cut -f 2-
}
check 'what it is about, escaped' offers 'drop, by hand: a\x09tab, \x1b[31mred, a : and a % of it' about

for shell in bash zsh; do
	check "$shell: all" offers 'unban 10.78.5.1 10.78.6.0/24' pressed "$shell" all 'unban 10.78.'
	check "$shell: IPv6" offers 'unban fd78:0:0:5::/64' pressed "$shell" one 'unban fd78:0:0:5'
	check "$shell: what is common" offers 'kill fd78:0:0:' pressed "$shell" one 'kill f'
	check "$shell: an option's" offers 'events --source=fd78:0:0:6::1' pressed "$shell" one 'events --source=fd78:0:0:6'
done
check 'fish: all' offers '10.78.5.1 10.78.6.0/24' pressed fish all 'unban 10.78.'
check 'fish: IPv6' offers 'fd78:0:0:5::/64' pressed fish all 'unban fd78:0:0:5'
check "fish: an option's" offers '--source=fd78:0:0:6::1' pressed fish all 'events --source=fd78:0:0:6'

for ((i = 0; i < 1001; i++)); do
	tcpguard --socket "$LAB_DIR/control.sock" ban "10.80.$((i / 250)).$((i % 250))" || break
done >/dev/null
check 'more than a thousand: none' offers '' offered unban 10.80.
check 'until there are fewer' offers '10.80.4.0' offered unban 10.80.4
tap_done
