#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every verb that takes --json: what it prints is valid, has its schema, and each member of it is
# described in docs. The verbs are those that the program itself names, so that none is forgotten.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || tap_bail 'no tests'
docs=$here/../../docs

# Something of everything: bans by hand and by limits, in force and observed, a service that is over
# its limit, an allowed network.
policy() {
	guard_policy <<EOP
version: 1
mode: enforce
allow: [10.78.9.0/24]
ladders: {usual: {steps: [{action: drop, expire: $1}], forget-after: 1h}}
policies:
  web:
    match: {ports: [80]}
    limits:
      open: {concurrent: 30, source: total, action: observe, expire: 10m}
      open-per-ip: {concurrent: 10, ladder: usual}
      new-per-net: {new: 5/10s, source: {ipv4: 24, ipv6: 48}, mode: observe, action: rate-limit, to: 5/1s, expire: 10m}
EOP
}
policy 1s
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'
trace=$LAB_DIR/live.trace
ip netns exec "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" record "$trace" >/dev/null 2>&1 &
recorder=$!
disown
wait_until "$LAB_PATIENCE" tg_true '.record.clients == 1' status || tap_bail 'nothing is recorded'

# An offence whose ban is over: it is remembered.
conns_start many --from 10.78.1.1 --sources 3 --stride 32 --to 10.77.0.2:80 --count 90 --timeout 300 --quiet
conns_done many
wait_until "$LAB_PATIENCE" is_dropped 10.78.1.1/32 || tap_bail 'no ban'
conns_stop "$CONNS_PID"
wait_until "$LAB_PATIENCE" is_not_banned 10.78.1.1/32 || tap_bail 'the ban does not end'
policy 10m
tg reload >/dev/null || tap_bail 'no reload'
conns_start again --from 10.78.1.2 --sources 2 --stride 32 --to 10.77.0.2:80 --count 60 --timeout 300 --quiet
conns_done again
wait_until "$LAB_PATIENCE" is_dropped 10.78.1.2/32 || tap_bail 'no other ban'
tg ban 10.78.1.1 --for 1h --action rate-limit --to 5/1s --reason 'as "told"' >/dev/null
kill -INT "$recorder"
wait_until "$LAB_PATIENCE" is_gone "$recorder"
cp "$LAB_DIR/etc/tcpguard.yaml" "$LAB_DIR/other.yaml"
sed -i 's/concurrent: 10,/concurrent: 5,/' "$LAB_DIR/other.yaml"
printf 'version: 1\npolicies: {web: {match: {ports: [80]}, limits: {x: {concurrent: none}}}}\n' >"$LAB_DIR/broken.yaml"

# What a verb is run with, one case for each line; nothing for a verb that this test does not know.
cases() {
	case $1 in
	status | list | events | plan | doctor) echo ;;
	top) printf '%s\n' '' '--from sockets' '--from conntrack' '--port 80 --prefix 24 --resolve' ;;
	explain) printf '%s\n' 10.78.1.1 '--resolve 10.78.1.2' 10.78.9.1 10.77.0.2 10.78.7.7 ;;
	check) printf '%s\n' '' "$LAB_DIR/broken.yaml" ;;
	kill) echo 10.78.1.3 ;;
	simulate) printf '%s\n' "$trace" "--compare $LAB_DIR/other.yaml $trace" ;;
	suggest) echo "$trace" ;;
	states) printf '%s\n' '' '--by source --resolve' '--by port -n 1' '--by process' '--by user --port 80' ;;
	esac
	[[ $1 != plan ]] || echo "$LAB_DIR/other.yaml"
	[[ $1 != list ]] || echo --resolve
}

# Exit statuses below 2 are answers.
is_described() {
	local verb=$1 status

	shift
	on "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" --config "$LAB_DIR/etc/tcpguard.yaml" "$verb" --json "$@" \
		>"$LAB_DIR/json" 2>"$LAB_DIR/json.err"
	status=$?
	if ((status > 1)) && [[ $* != */broken.yaml ]]; then
		sed 's/^/# /' "$LAB_DIR/json.err"
		return 1
	fi
	"$here/json_keys.py" "$docs" "$verb" <"$LAB_DIR/json" 2>&1 | sed 's/^/# /'
}

mapfile -t verbs < <("$LAB_CLI" --complete '' | cut -f 1)
check 'the program names its verbs' test "${#verbs[@]}" -ge 20
told=0
for verb in "${verbs[@]}"; do
	"$LAB_CLI" --complete "$verb" -- | cut -f 1 | grep -x -e --json >/dev/null || continue
	told=$((told + 1))
	mapfile -t options < <(cases "$verb")
	check "$verb --json has its cases here" test "${#options[@]}" -gt 0
	for option in "${options[@]}"; do
		# shellcheck disable=SC2086 # words
		check "$verb --json ${option//$LAB_DIR\//}" is_described "$verb" $option
	done
done
check 'that are all that docs/json.md lists' equal "$told" "$(grep -c '^| `[a-z]*` | \[' "$docs/json.md")"
tap_done
