#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Beside Docker: a published port of a real container is guarded like any other, new connections and
# open ones; Docker's own rules are the same to the letter, and it may restart as it likes.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=../packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"
lab_begin
UNPACKED=$(dirname "${BASH_SOURCE[0]}")/../../build-packages
packages_unpack "$UNPACKED" docker.io containerd runc busybox-static || tap_bail 'no Docker to be had'
UNPACKED=$(realpath "$UNPACKED")
PATH=$UNPACKED/usr/bin:$UNPACKED/usr/sbin:$PATH

guard_policy <<'EOF'
version: 1
mode: enforce
policies:
  published:
    match: {ports: [8080]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
EOF
lab_pair || tap_bail 'no lab'

docker() {
	command docker -H "unix://$LAB_DIR/docker.sock" "$@"
}

docker_is_up() {
	docker version >/dev/null 2>&1
}

# What it leaves in /run and in the tree of control groups goes with its own view of them.
docker_start() {
	cat >"$LAB_DIR/dockerd.sh" <<-'EOF'
		mount -t tmpfs none /run
		mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
		# Started again when it ends, as the machine's would be.
		until [[ -e $1/docker.over ]]; do
			dockerd --data-root "$1/docker" --exec-root "$1/docker-run" -H "unix://$1/docker.sock" \
				--pidfile "$1/docker.pid" --storage-driver vfs --config-file "$1/docker.json"
		done
	EOF
	echo '{}' >"$LAB_DIR/docker.json"
	ip netns exec "$GUARD" bash "$LAB_DIR/dockerd.sh" "$LAB_DIR" >"$LAB_DIR/docker.log" 2>&1 &
	disown
	wait_until "$LAB_PATIENCE" docker_is_up
}

docker_is_gone() {
	! docker_is_up
}

docker_stop() {
	kill "$(cat "$LAB_DIR/docker.pid")"
	wait_until "$LAB_PATIENCE" docker_is_gone
}

container() {
	local image=$LAB_DIR/image

	mkdir -p "$image/bin" "$image/www"
	cp "$UNPACKED/bin/busybox" "$image/bin/"
	tar -C "$image" -c . | docker import - lab >/dev/null || return 1
	# Connections stay open: it waits for requests.
	docker run -d --name server -p 8080:80 lab /bin/busybox httpd -f -p 80 -h /www >/dev/null
}

theirs() {
	on "$GUARD" nft -s list ruleset 2>/dev/null | awk '/^table / { ours = /inet tcpguard/ } !ours'
}

same() {
	theirs | diff "$LAB_DIR/theirs" - >"$LAB_DIR/diff" || {
		sed 's/^/# /' "$LAB_DIR/diff" | head -20
		return 1
	}
}

serves() {
	connects 10.78.1.1 10.77.0.2:8080 1000
}

# packets SOURCE: that the ban of this source has dropped.
packets() {
	tg_value ".bans[] | select(.source == \"$1\") | .packets" list
}

# Containers live in namespaces of their own: they go before the lab does.
trap 'docker rm -f server >/dev/null 2>&1; touch "$LAB_DIR/docker.over"; lab_cleanup' EXIT
docker_start || tap_bail "no Docker: $(tail -n 2 "$LAB_DIR/docker.log")"
container || tap_bail "no container: $(tail -n 2 "$LAB_DIR/docker.log")"
wait_until "$LAB_PATIENCE" serves || tap_bail 'the container does not serve'
theirs >"$LAB_DIR/theirs"
guard_start || tap_bail 'no daemon'
check 'the container serves through the guard' serves
check 'rules of Docker are the same' same

tg ban 10.78.7.7 >/dev/null
check 'a ban by hand keeps from the container' eval '! connects 10.78.7.7 10.77.0.2:8080 300'
check 'others are served' serves

conns_start greedy --from 10.78.200.3 --to 10.77.0.2:8080 --count 300 --rate 100 --timeout 900 --quiet
conns_done greedy
# No socket of this host has it: the container's may be anybody's.
check 'connections to a container are counted and held to a rate' wait_until "$LAB_PATIENCE" \
	tg_true 'any(.bans[]; .source == "10.78.200.3/32" and .enforced and .action == "rate-limit")' list
check 'new ones fail' test "$(field failed <"$LAB_DIR/conns.greedy")" -gt 5
check 'open ones can be ended' eval \
	'tg kill 10.78.200.3 | grep "killed 0 sockets and [1-9][0-9]* tracked" >/dev/null'

# What is open goes on only as long as nobody bans it.
conns_start open --from 10.78.1.9 --to 10.77.0.2:8080 --count 3 --quiet
conns_done open
tg ban 10.78.1.9 >/dev/null
conns_stop "$CONNS_PID" # their FINs come, and are dropped
dropped() {
	(($(packets 10.78.1.9/32) > 0))
}
check 'packets of open connections are dropped' wait_until "$LAB_PATIENCE" dropped
check 'rules of Docker are still the same' same

docker_stop
check 'Docker restarts' wait_until "$LAB_PATIENCE" docker_is_up
check 'which is nothing to us' tg_true '.health == "ok"' status
docker start server >/dev/null
check 'and come back' wait_until "$LAB_PATIENCE" serves
check 'the ban holds' eval '! connects 10.78.7.7 10.77.0.2:8080 300'
guard_stop
check 'without the daemon, too' eval '! connects 10.78.7.7 10.77.0.2:8080 300'
docker rm -f server >/dev/null 2>&1
touch "$LAB_DIR/docker.over"
docker_stop
tap_done
