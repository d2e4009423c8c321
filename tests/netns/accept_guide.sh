#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# docs/guide.md, as a newcomer follows it: every command of it in its order, on a file system that is
# this machine's with nothing of ours installed, while one source has too many connections. There is
# no systemd here: systemctl is a program of this test that does what the unit file says.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$here/../lab/lab.sh"
lab_begin
top=$(realpath "$here/../..")
lab_pair || tap_bail 'no lab'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
on "$CLIENT" ip route add local 203.0.113.0/24 dev lo

# A shell on that file system, in the network of GUARD: commands by one pipe, "STATUS N" by another.
root=$LAB_DIR/root
mkdir -p "$LAB_DIR/layer" "$root"
cat >"$LAB_DIR/machine.sh" <<'EOF'
set -e
mount --make-rprivate /
mount -t tmpfs none "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay none -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" "$1/root"
mount --rbind /proc "$1/root/proc"
mount --rbind /sys "$1/root/sys"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs none "$1/root/run"
mount -t tmpfs none "$1/root/tmp"
rm -rf "$1/root/etc/tcpguard" "$1/root/var/lib/tcpguard"
mkdir -p "$1/root/usr/local/bin" "$1/root/root/tcpguard"
cp "$1/systemctl" "$1/sudo" "$1/root/usr/local/bin"
cp -r "$2"/{meson.build,src,include,policies,systemd,docs,tests} "$1/root/root/tcpguard"
exec chroot "$1/root" /bin/bash -c 'cd /root/tcpguard && export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin &&
	while IFS= read -r line; do
		eval "$line" </dev/null >/tmp/output 2>&1; status=$?
		sed "s/^/| /" /tmp/output; echo "STATUS $status"
	done'
EOF
printf '#!/bin/sh\nexec "$@"\n' >"$LAB_DIR/sudo"
cat >"$LAB_DIR/systemctl" <<'EOF'
#!/bin/bash
unit=/usr/lib/systemd/system/tcpguard.service
says() {
	sed -n "s/^$1=//p" "$unit"
}
as_unit() {
	local user
	user=$(says User)
	exec setpriv --reuid "$user" --regid "$(says Group)" --init-groups --inh-caps=-all,+net_admin \
		--bounding-set=-all,+net_admin --ambient-caps=-all,+net_admin "$@"
}
case $*,$(says AmbientCapabilities) in
daemon-reload,*) ;;
'enable --now tcpguard,CAP_NET_ADMIN')
	install -d -o "$(says User)" -g "$(says Group)" -m 755 /run/tcpguard
	install -d -o "$(says User)" -g "$(says Group)" -m 700 /var/lib/tcpguard
	read -ra pre < <(says ExecStartPre)
	read -ra start < <(says ExecStart)
	(as_unit "${pre[@]}") || exit 1
	as_unit "${start[@]}" >/run/tcpguard.log 2>&1 &
	echo $! >/run/tcpguard.pid
	for ((i = 0; i < 200; i++)); do
		tcpguard status >/dev/null 2>&1 && exit 0
		sleep 0.1
	done
	cat /run/tcpguard.log
	exit 1
	;;
'disable --now tcpguard,CAP_NET_ADMIN')
	kill "$(cat /run/tcpguard.pid)"
	for ((i = 0; i < 200; i++)); do
		grep -q '^State:[[:space:]]*[^ZX]' "/proc/$(cat /run/tcpguard.pid)/status" 2>/dev/null || exit 0
		sleep 0.1
	done
	exit 1
	;;
*)
	echo "the guide says systemctl $*, which this test does not know"
	exit 1
	;;
esac
EOF
chmod +x "$LAB_DIR/sudo" "$LAB_DIR/systemctl"
mkfifo "$LAB_DIR/commands" "$LAB_DIR/answers"
ip netns exec "$GUARD" unshare --mount bash "$LAB_DIR/machine.sh" "$LAB_DIR" "$top" \
	<"$LAB_DIR/commands" >"$LAB_DIR/answers" 2>&1 &
disown
exec 8>"$LAB_DIR/commands" 9<"$LAB_DIR/answers"

# run COMMAND: its output in $LAB_DIR/said.
run() {
	local line

	printf '%s\n' "$1" >&8
	: >"$LAB_DIR/said"
	while IFS= read -r -t 300 line <&9; do
		[[ $line == 'STATUS '* ]] && return "${line#STATUS }"
		printf '%s\n' "${line#| }" >>"$LAB_DIR/said"
	done
	return 99
}

dropped() {
	run 'sudo tcpguard list --json' &&
		jq -e 'any(.bans[]; .source == "203.0.113.7/32" and .enforced and .action == "drop")' "$LAB_DIR/said" >/dev/null
}

explained() {
	run 'sudo tcpguard explain --json 203.0.113.7' && jq -e "$1" "$LAB_DIR/said" >/dev/null
}

# Beside the commands: what happens on such a host meanwhile, and what has come of it.
before() {
	case $1 in
	'sudo tcpguard top --count 5')
		conns_start greedy --from 203.0.113.7 --to 10.77.0.2:80 --count 260 --quiet
		conns_done greedy
		check 'the greedy source is over its limit' wait_until "$LAB_PATIENCE" explained '.verdict == "observed"'
		;;
	esac
}

after() {
	case $1 in
	'sudo tcpguard top --count 5') check '  it is the first' grep -q '203\.0\.113\.7' "$LAB_DIR/said" ;;
	'sudo tcpguard reload')
		run 'sudo tcpguard status --json'
		jq -e '.mode == "enforce"' "$LAB_DIR/said" >/dev/null || return 0
		check '  and the greedy source is dropped, as its open connections prove it' wait_until "$LAB_PATIENCE" dropped
		;;
	'sudo tcpguard unban --all') check '  it is free' explained '.ban == null or .ban.enforced == false' ;;
	'sudo systemctl disable --now tcpguard') check '  the daemon has ended' eval '! run "sudo tcpguard status"' ;;
	esac
}

said=0
while IFS= read -r command; do
	before "$command"
	run "$command"
	status=$?
	check "$command" test "$status" = 0
	((status == 0)) || sed 's/^/# /' "$LAB_DIR/said" | tail -n 20
	after "$command"
	said=$((said + 1))
done < <(awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$top/docs/guide.md")
check 'the guide has commands' test "$said" -gt 30
check 'nothing was installed on this machine itself' test ! -e /usr/lib/systemd/system/tcpguard.service
exec 8>&-
tap_done
