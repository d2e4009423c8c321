#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The units under a real systemd, which runs as process 1 of a machine of its own: this one's files in
# a layer, what `meson install` puts there, and the network of GUARD. What the sandbox of the unit
# takes from the daemon it must do without: bans, fuses, SYNPROXY, reload, restart, metrics, journal.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
lab_begin
lab_pair || tap_bail 'no lab'
on "$GUARD" sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'

# Own cgroups, mounts and processes; the network is the caller's.
root=$LAB_DIR/root cgroups=$LAB_DIR/cgroups
mkdir -p "$LAB_DIR/layer" "$root" "$cgroups"
mount -t cgroup2 none "$cgroups" || tap_bail 'no cgroups'
mkdir "$cgroups/$LAB_TAG"
cat >"$LAB_DIR/boot.sh" <<'EOF'
set -e
layer=$1/layer root=$1/root
mount --make-rprivate /
mount -t tmpfs none "$layer"
mkdir "$layer/upper" "$layer/work"
mount -t overlay none -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$root"
rm -rf "$root/etc/tcpguard" "$root/var/lib/tcpguard" "$root/var/log/journal"
DESTDIR=$root meson install -C "$2" --no-rebuild >/dev/null
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
mount -t tmpfs none "$root/dev"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/.before"
mount -t devpts -o newinstance,ptmxmode=0666 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
pivot_root . .before
umount -l /.before
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd systemd.unit=basic.target </dev/null
EOF
on "$GUARD" bash -c 'echo $$ >"$1" && exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child bash "$2" "$3" "$4"' \
	- "$cgroups/$LAB_TAG/cgroup.procs" "$LAB_DIR/boot.sh" "$LAB_DIR" "$(realpath "$LAB_BUILD")" >"$LAB_DIR/boot.log" 2>&1 &
disown
init_pid() {
	INIT=$(pgrep -f '^/lib/systemd/systemd systemd.unit=basic.target$' | tail -n 1)
	[[ -n $INIT ]]
}
# What lab_cleanup does not know of.
machine_end() {
	kill -KILL "${INIT:-0}" 2>/dev/null
	wait_until "$LAB_PATIENCE" find "$cgroups/$LAB_TAG" -depth -type d -exec rmdir {} + 2>/dev/null
	umount "$cgroups"
	lab_cleanup
}
trap machine_end EXIT
wait_until "$LAB_PATIENCE" init_pid || { cat "$LAB_DIR/boot.log"; tap_bail 'it does not boot'; }

# inside COMMAND…: in that machine.
inside() {
	nsenter -t "$INIT" -m -p -n -u -i -C env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
says() {
	[[ $("${@:2}" 2>>"$LAB_DIR/inside.log") == "$1" ]]
}
value() {
	inside tcpguard "${@:2}" --json 2>>"$LAB_DIR/inside.log" | jq -e "$1" >/dev/null
}
policy() {
	inside tee /usr/local/etc/tcpguard/tcpguard.yaml >/dev/null
}
unit() {
	inside systemctl show -P "$1" tcpguard
}

wait_until "$LAB_PATIENCE" says running inside systemctl is-system-running ||
	tap_note "$(inside systemctl is-system-running) $(inside systemctl --failed --no-pager --no-legend)"
inside systemd-sysusers
inside mkdir -p /usr/local/etc/tcpguard
policy <<'EOF'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, kill: true, expire: 10m}
      new-per-ip: {new: 200/10s, action: rate-limit, to: 5/1s, expire: 10m}
      forged: {half-open: 2000, source: total, action: synproxy, expire: 5s}
EOF
check 'the unit starts' inside systemctl start tcpguard
inside systemctl status --no-pager -l tcpguard >"$LAB_DIR/status" 2>&1 || sed 's/^/# /' "$LAB_DIR/status"
check 'it said itself that it is ready' says active unit ActiveState
pid=$(unit MainPID)
confined() {
	inside grep -qE "$1" "/proc/$pid/status"
}
check 'not as root' confined '^Uid:[[:space:]]*[1-9]'
check 'with one privilege' confined '^CapEff:[[:space:]]*0*1000$'
check 'and a filter of system calls' confined '^Seccomp:[[:space:]]*2$'
check 'nothing is degraded' wait_until "$LAB_PATIENCE" value '.degraded == []' status

conns_start open --from 10.78.1.1 --to 10.77.0.2:80 --count 40 --timeout 500 --quiet
conns_done open
check 'a source with too many connections is dropped, which its sockets have proven' wait_until "$LAB_PATIENCE" \
	value 'any(.bans[]; .source == "10.78.1.1/32" and .action == "drop" and .enforced)' list
check 'and they are ended' wait_until "$LAB_PATIENCE" eval \
	'[[ -z $(on "$GUARD" ss -Htn state established "dst 10.78.1.1") ]]'
conns_stop "$CONNS_PID"
flood --from 10.79.0.1 --to 10.77.0.2:80 --count 20000 --rate 20000 >/dev/null
check 'a fuse is heard' wait_until "$LAB_PATIENCE" value 'any(.bans[]; .source == "10.79.0.1/32" and .enforced)' list
ip netns exec "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" --from 10.80.0.1 --sources 200000 \
	--stride 32 --to 10.77.0.2:80 --count 100000000 --rate 20000 >/dev/null 2>&1 &
flood=$!
disown
check 'a flood is answered by SYNPROXY' wait_until "$LAB_PATIENCE" \
	value 'any(.bans[]; .source == "total" and .action == "synproxy" and .enforced and .packets > 1000)' list
check 'who is not known is served' connects 10.78.3.1 10.77.0.2:80 4000
kill "$flood"

inside sed -i 's/concurrent: 20/concurrent: 30/' /usr/local/etc/tcpguard/tcpguard.yaml
check 'a reload takes the new policy' inside systemctl reload tcpguard
check 'it is in force' value 'any(.. | numbers; . == 30)' explain 10.78.9.9
printf 'nonsense\n' | policy
check 'a policy with errors is refused' eval '! inside systemctl reload tcpguard 2>/dev/null'
check 'and the unit goes on' says active unit ActiveState
check 'with what it had' value 'any(.bans[]; .source == "10.78.1.1/32")' list
sed 's/^mode: .*/mode: enforce/' "$(dirname "${BASH_SOURCE[0]}")/../../policies/web.yaml" | policy
inside systemctl kill -s KILL tcpguard
again() {
	[[ $(unit ActiveState) == active && $(unit MainPID) != "$pid" ]]
}
check 'killed, it is started again' wait_until "$LAB_PATIENCE" again

check 'the socket of the exporter is there' inside systemctl start tcpguard-exporter.socket
scrape() {
	inside python3 -c 'import urllib.request as u
print(u.urlopen("http://127.0.0.1:10977/metrics", timeout=10).read().decode())' 2>>"$LAB_DIR/inside.log" | grep -qx 'tcpguard_up 1'
}
check 'and starts it, which asks the daemon' wait_until "$LAB_PATIENCE" scrape
told() {
	inside journalctl --no-pager -o json -u tcpguard | jq -e -s "any(.[]; $1)" >/dev/null
}
check 'the journal has what was decided, by field' wait_until "$LAB_PATIENCE" told \
	'.TCPGUARD_SOURCE == "10.78.1.1/32" and .TCPGUARD_POLICY == "web" and (.MESSAGE_ID | length) == 32'
check 'and the catalog explains it' eval 'inside journalctl --update-catalog &&
	inside journalctl --no-pager -x -u tcpguard 2>/dev/null | grep "Documentation: man:tcpguard" >/dev/null'
check 'it stops when it is told' inside systemctl stop tcpguard
check 'and stays down' says inactive unit ActiveState
tap_done
