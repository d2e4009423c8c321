#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The role of docs/ansible, by Ansible against a running daemon: a change is applied and confirmed, a
# second run changes nothing, check mode shows the plan and changes nothing, and a bad policy is refused
# with the one before still in force.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=../packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"
lab_begin
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
UNPACKED=$TOP/build-packages
packages_unpack "$UNPACKED" "${packages_ansible[@]}" || tap_bail 'no Ansible to be had'

# policy MODE THRESHOLD
policy() {
	jq -n --arg mode "$1" --argjson threshold "$2" '{tcpguard_policy: {version: 1, mode: $mode,
		allow: ["192.0.2.0/24", "2001:db8::/32"], policies: {web: {match: {ports: [80]}, limits:
		{"open-per-ip": {concurrent: $threshold, action: "drop", expire: "10m"}}}}}}'
}

installed=$LAB_DIR/etc/tcpguard.yaml
policy enforce 10 | jq .tcpguard_policy | guard_policy
lab_pair || tap_bail 'no lab'
guard_start || tap_bail 'no daemon'

mkdir "$LAB_DIR/tmp"
cat >"$LAB_DIR/ansible.cfg" <<EOT
[defaults]
roles_path = $TOP/docs/ansible/roles
local_tmp = $LAB_DIR/ansible
remote_tmp = $LAB_DIR/ansible
EOT

# play [OPTION]…: with $LAB_DIR/vars.json; prints what it says, and its status is Ansible's.
play() {
	on "$GUARD" env PYTHONPATH="$UNPACKED/usr/lib/python3/dist-packages" HOME="$LAB_DIR" TMPDIR="$LAB_DIR/tmp" LC_ALL=C.UTF-8 \
		ANSIBLE_CONFIG="$LAB_DIR/ansible.cfg" ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0 \
		/usr/bin/python3 "$UNPACKED/usr/bin/ansible-playbook" -i guard, -c local \
		-e ansible_python_interpreter=/usr/bin/python3 -e "@$LAB_DIR/vars.json" \
		-e "tcpguard_file=$installed" -e tcpguard_confirm=10m \
		-e "{\"tcpguard_command\": \"$LAB_CLI --socket $LAB_DIR/control.sock\"}" \
		"$@" "$TOP/docs/ansible/site.yml" >"$LAB_DIR/played" 2>&1
}

# changed N: so many tasks of the last run changed something, and none failed.
changed() {
	grep -Eq "ok=[0-9]+ +changed=$1 .*failed=0 " "$LAB_DIR/played" && return
	sed 's/^/# /' "$LAB_DIR/played"
	return 1
}

in_force() {
	equal "$(tg explain --json 198.51.100.1 | jq -r '.limits[0] | "\(.mode) \(.threshold)"')" "$1"
}

check 'the policy from before' in_force 'enforce 10'
policy enforce 20 >"$LAB_DIR/vars.json"
before=$(sha256sum <"$installed")
check 'check mode' quietly play --check
check 'shows the plan' grep -q '+   concurrent: 20' "$LAB_DIR/played"
check 'installs nothing' equal "$(sha256sum <"$installed")" "$before"
check 'and loads nothing' in_force 'enforce 10'
check 'no candidate is left' equal "$(ls "$LAB_DIR/tmp")" ''

check 'a change' quietly play
# The file, and the two reloads.
check 'is applied' changed 3
check 'and in force' in_force 'enforce 20'
check 'confirmed' test "$(tg status --json | jq .confirm_in)" = null
check 'a second run' quietly play
check 'changes nothing' changed 0
check 'nor is there anything to plan' quietly play --check
check 'in check mode' changed 0

policy enforced 30 >"$LAB_DIR/vars.json"
before=$(sha256sum <"$installed")
refused() {
	! play "$@"
}
check 'a bad policy is refused' refused
check 'by the name of the file, and the line' grep -Eq "tcpguard.yaml:[0-9]+:[0-9]+: error: 'mode' wants" "$LAB_DIR/played"
check 'the file is as it was' equal "$(sha256sum <"$installed")" "$before"
check 'and so is the policy' in_force 'enforce 20'
check 'check mode refuses it, too' refused --check

# Puppet's command, over a copy as Puppet makes one: % is its name.
puppet=$(sed -n "s/.*validate_cmd => '\(.*\)',/\1/p" "$TOP/docs/puppet.pp")
puppet=${puppet//\/etc\/tcpguard\/tcpguard.yaml/$installed}
puppet=${puppet/#\/usr\/bin\/tcpguard/$LAB_CLI --config $installed}
# validated STATUS: what it says of the copy
validated() {
	local -a words
	read -ra words <<<"${puppet/%%/$LAB_DIR/copy}"
	"${words[@]}" >/dev/null 2>&1
	(($? == $1))
}
cp "$installed" "$LAB_DIR/copy"
check 'Puppet is content with a good one' validated 0
sed -i 's/mode: enforce/mode: enforced/' "$LAB_DIR/copy"
check 'and not with a bad one' validated 1
tap_done
