#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tcpguard suggest`: of what a running daemon is told, of a trace recorded meanwhile, and, without a
# daemon, of the kernel's table. What it prints is a drop-in that is checked, planned and loaded.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin

guard_policy <<'EOT'
version: 1
mode: observe
allow: [10.78.9.0/24]
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 10, action: drop, expire: 10m}
      new-per-ip: {new: 5/10s, action: rate-limit, to: 5/1s, expire: 2m}
EOT
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
guard_start || tap_bail 'no daemon'

installed=$LAB_DIR/etc/tcpguard.yaml
tgc() {
	tg --config "$installed" "$@"
}
# made LIMIT FILTER: of the suggestion for it in the JSON
made() {
	jq -r ".limits[] | select(.limit == \"$1\") | $2" "$LAB_DIR/out"
}

# Connections that are there before anybody looks, and some that begin meanwhile.
conns_start before --from 10.78.1.1 --count 30 --to 10.77.0.2:80 --timeout 300 --quiet
conns_start allowed --from 10.78.9.1 --count 200 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done before
conns_done allowed
counted() {
	tg_true '[.sources[] | select(.source == "10.78.1.1/32") | .total] == [30]' top
}
check 'connections are there' wait_until "$LAB_PATIENCE" counted

tgc record "$LAB_DIR/meanwhile.trace" --for 30s >"$LAB_DIR/recorded" &
recorder=$!
tgc suggest --json --for 30s >"$LAB_DIR/out" 2>"$LAB_DIR/err" &
looking=$!
both_record() {
	tg_true '.record.clients == 2' status
}
check 'two record' wait_until "$LAB_PATIENCE" both_record
conns_start new --from 10.78.1.2 --count 40 --to 10.77.0.2:80 --timeout 300 --quiet
conns_done new
check 'looks at the running daemon' wait "$looking"
check 'and records' wait "$recorder"

check 'for as long as it was told' equal "$(jq -r '"\(.schema) \(.from) \(.seconds)"' "$LAB_DIR/out")" '1 daemon 30'
check 'who is allowed is left out' equal "$(jq -r .sources "$LAB_DIR/out")" 2
check 'what was there, and what came' equal "$(made open-per-ip '"\(.sources) \(.most) \(.over_current)"')" '2 40 2'
check 'twice of it' equal "$(made open-per-ip '"\(.proposed) \(.over_proposed)"')" '80 0'
check 'as a rate, only what came' equal "$(made new-per-ip '"\(.sources) \(.most) \(.proposed)"')" '1 40 80'
check 'so few are not trusted' equal "$(jq -r '"\(.trusted) \([.limits[].trusted] | unique | join(" "))"' "$LAB_DIR/out")" 'false false'

dropin=$LAB_DIR/etc/policies.d/90-suggested.yaml
tgc suggest "$LAB_DIR/meanwhile.trace" >"$LAB_DIR/suggested.yaml"
check 'of the trace' grep -q '^      open-per-ip: {concurrent: 80}$' "$LAB_DIR/suggested.yaml"
check 'it says that it is too little' grep -q 'NOT TO BE TRUSTED' "$LAB_DIR/suggested.yaml"
check 'check takes it' quietly tgc check "$LAB_DIR/suggested.yaml"
check 'as the drop-in, too' quietly tgc check --as "$dropin" "$LAB_DIR/suggested.yaml"
check 'plan shows it' equal \
	"$(tgc plan --json --as "$dropin" "$LAB_DIR/suggested.yaml" | jq -r '[.changes[] | "\(.key) \(.before) \(.after)"] | join(", ")')" \
	'new 5/10s 80/10s, concurrent 10 80'
mkdir -p "${dropin%/*}"
cp "$LAB_DIR/suggested.yaml" "$dropin"
check 'it is loaded' quietly tg reload
check 'and in force' equal "$(tg explain --json 10.78.1.1 | jq -r '[.limits[].threshold] | join(" ")')" '80 80'

guard_stop
tgc suggest --json >"$LAB_DIR/out" 2>"$LAB_DIR/err"
check 'without a daemon' equal "$?" 0
check 'of the kernel' equal "$(jq -r '"\(.from) \(.trusted) \(.sources)"' "$LAB_DIR/out")" 'conntrack false 2'
check 'what there is' equal "$(made open-per-ip .most)" 40
check 'and nothing of rates' equal "$(made new-per-ip .proposed)" null
check 'for people' grep -q 'a moment says nothing of rates' <<<"$(tgc suggest)"
tap_done
