#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Decisions can be followed as they are made, by several at once, and the last thousand be read
# later; a reader that does not read harms nobody and is told what it missed.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOP'
version: 1
mode: enforce
brakes: {max-bans-per-minute: none, max-share-of-sources: none}
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
      half-open: {half-open: 3, action: rate-limit, to: 2/1s, expire: 10m}
EOP
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
check 'without a daemon it says so' eval 'tg events >/dev/null 2>&1; (($? == 3))'
guard_start || tap_bail 'no daemon'
check 'nothing yet' equal "$(tg events)" 'nothing happened since the daemon began'

# reader NAME OPTION…
reader() {
	local name=$1

	shift
	ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" events --follow "$@" \
		>"$LAB_DIR/events.$name" 2>"$LAB_DIR/events.$name.err" &
	READER=$!
	disown
}

told() {
	grep -c . "$LAB_DIR/events.$1" | grep -qx "$2"
}

reader people
people=$READER
reader programs --json --source 10.78.1.0/24
programs=$READER
check 'by hand' quietly tg ban 10.78.9.9 --for 1h --reason 'a test; of "quotes"'
check 'who follows is told' wait_until "$LAB_PATIENCE" grep -q 'ban .*10.78.9.9/32 .*by hand: a test; of "quotes"' "$LAB_DIR/events.people"
conns_start greedy --from 10.78.1.1 --to 10.77.0.2:80 --count 30 --timeout 500 --quiet
check 'of an offence, and of what the sockets have proven' wait_until "$LAB_PATIENCE" \
	grep -q 'ban .*10.78.1.1/32 .*drop.*open-per-ip: concurrent .*witnessed' "$LAB_DIR/events.people"
conns_stop "$CONNS_PID"
tg unban 10.78.1.1 >/dev/null
check 'and of a lift' wait_until "$LAB_PATIENCE" grep -q 'lift .*10.78.1.1/32.*unban' "$LAB_DIR/events.people"
check 'programs get an object on each line' wait_until "$LAB_PATIENCE" eval \
	'jq -se "length > 2 and all(.[]; .schema == 1 and .source == \"10.78.1.1/32\" and (.at | fromdate) > 0) and
		([.[].event] | index(\"lift\") != null)" "$LAB_DIR/events.programs" >/dev/null'
check 'that are as many lines' eval '(($(wc -l <"$LAB_DIR/events.programs") == $(jq -s length "$LAB_DIR/events.programs")))'
check 'and are numbered' eval 'jq -se "[.[].number] | . == (sort | unique)" "$LAB_DIR/events.programs" >/dev/null'
check 'the same can be read later' eval 'tg events --json --source 10.78.1.1 | diff -q - "$LAB_DIR/events.programs" >/dev/null'
check 'or the last of it' equal "$(tg events --count 1 | wc -l)" 1
check 'a count that is none is refused' eval 'tg events --count 1001 >/dev/null 2>&1; (($? == 2))'
check 'so is a source' eval 'tg events --source 10.78.1 >/dev/null 2>&1; (($? == 2))'

check 'who is not among them is said to be unknown' equal "$(tg events --source 10.99.0.1)" \
	'nothing is known of 10.99.0.1/32 since the daemon began'

# Of one source, whatever others do since.
of_greedy=$(tg events --json --source 10.78.1.1 | tail -n 2)
for ((i = 1; i <= 5; i++)); do
	quietly tg ban "10.78.8.$i" --for 1h
done
check 'the last two of a source are its last two' equal "$(tg events --json --source 10.78.1.1 --count 2)" "$of_greedy"
check 'of its network, too' equal "$(tg events --json --source 10.78.1.0/24 --count 2)" "$of_greedy"
check 'and they are not the last two of all' eval '[[ $(tg events --json --count 2) != "$of_greedy" ]]'

# Nobody reads any more, and nothing comes that a write could fail for.
mkfifo "$LAB_DIR/pipe"
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" events --follow --count 1 >"$LAB_DIR/pipe" &
piped=$!
disown
exec 9<"$LAB_DIR/pipe"
check 'a reader behind a pipe' eval 'read -r -t "$LAB_PATIENCE" <&9'
check 'waits' eval '! is_gone "$piped"'
exec 9<&-
check 'and ends with the pipe' wait_until "$LAB_PATIENCE" is_gone "$piped"

# More than are kept, while one reader is stopped for longer than other answers may take.
reader slow --json
slow=$READER
wait_until "$LAB_PATIENCE" test -s "$LAB_DIR/events.slow"
kill -STOP "$slow"
stopped=$(tg_value .uptime status)
for ((i = 0; i < 12; i++)); do
	flood --from "10.80.$i.1" --sources 250 --stride 32 --to 10.77.0.2:80 --count 1250 --rate 50000 >/dev/null
done
check 'three thousand bans' wait_until 60 tg_true '.bans.active > 2990' status
check 'as many as are kept can be read' equal "$(tg events --json | wc -l)" 1000
check 'the last is the newest' equal "$(tg events --json --count 1 | jq .number)" "$(tg events --json | jq -s 'max_by(.number).number')"
check 'status is told at once all the same' eval 'tg status >/dev/null'
wait_until 30 tg_true ".uptime > $((stopped + 7))" status
kill -CONT "$slow"
check 'the slow reader comes to the end' wait_until "$LAB_PATIENCE" eval \
	'[[ $(tail -n 1 "$LAB_DIR/events.slow" | jq .number 2>/dev/null) == $(tg events --json --count 1 | jq .number) ]]'
missed=$(sed -n 's/^tcpguard: \([0-9]*\) events were missed.*/\1/p' "$LAB_DIR/events.slow.err" | awk '{sum += $1} END {print sum + 0}')
tap_note "missed $missed"
check 'it has missed some' test "$missed" -gt 0
check 'and was told exactly how many' equal "$missed" \
	"$(jq -s '[.[].number] | max - min + 1 - length' "$LAB_DIR/events.slow")"
check 'what it has is in order' eval 'jq -se "[.[].number] | . == (sort | unique)" "$LAB_DIR/events.slow" >/dev/null'
check 'status counts them, too' tg_true ".log.events_missed >= $missed" status
kill -9 "$slow" "$programs"
check 'readers that are killed leave room for others' eval 'for ((i = 0; i < 20; i++)); do tg events --count 1 >/dev/null || exit 1; done'
quietly tg ban 10.78.9.10 --for 1h
check 'and the others go on' wait_until "$LAB_PATIENCE" grep -q 10.78.9.10 "$LAB_DIR/events.people"

# One follows already. Eight can.
for ((i = 2; i <= 8; i++)); do
	reader "$i" --count 1
done
eighth=$READER
all_follow() {
	local i

	for ((i = 2; i <= 8; i++)); do
		test -s "$LAB_DIR/events.$i" || return 1
	done
}
check 'eight can follow' wait_until "$LAB_PATIENCE" all_follow
check 'a ninth cannot' eval 'tg events --follow --count 1 >"$LAB_DIR/events.9" 2>"$LAB_DIR/events.9.err"; (($? == 1))'
check 'and is told what to do' quietly grep '8 readers follow events already.*: end one of them, or read without following' "$LAB_DIR/events.9.err"
check 'who does not follow needs no place' equal "$(tg events --count 1 | wc -l)" 1
kill "$eighth"
wait_until "$LAB_PATIENCE" is_gone "$eighth"
reader 10 --count 1
check 'where one has ended, another can' wait_until "$LAB_PATIENCE" test -s "$LAB_DIR/events.10"
guard_stop
check 'the end of the daemon ends it' wait_until "$LAB_PATIENCE" is_gone "$people"
check 'with a word' grep -q 'the daemon has ended' "$LAB_DIR/events.people.err"
tap_done
