#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tcpguard-exporter: as another user, with the socket for numbers and nothing else, it answers a
# real Prometheus; what comes besides costs it nothing; the dashboard's questions and the alert rules work
# on what was scraped; its units are as tight as they say.
set -uo pipefail
LAB_BUILD=${LAB_BUILD:?names the build directory}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"
# shellcheck source-path=SCRIPTDIR source=../packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"
lab_begin
TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
packages_unpack "$TOP/build-packages" prometheus || tap_bail 'no Prometheus to be had'
PATH=$TOP/build-packages/usr/bin:$PATH
GROUP=64999
PORT=10977

guard_policy <<'POLICY'
version: 1
mode: enforce
policies:
  web:
    match: {ports: [80]}
    limits:
      open-per-ip: {concurrent: 20, action: drop, expire: 10m}
POLICY
lab_pair || tap_bail 'no lab'
# The group that the package makes, for this namespace only.
{ cat /etc/group && echo "tcpguard-metrics:x:$GROUP:"; } >"/etc/netns/$GUARD/group"
# And the daemon as the unit runs it: a user of its own, of all rights CAP_NET_ADMIN; a member of the
# group, to which it can give its socket for that reason only.
mkdir -p "$LAB_DIR/state"
chmod 711 "$LAB_DIR"
chown 65532 "$LAB_DIR" "$LAB_DIR/state"
cat >"$LAB_DIR/bin/as-tcpguard" <<SCRIPT
#!/bin/sh
exec setpriv --reuid 65532 --regid 65532 --groups $GROUP --no-new-privs --inh-caps=-all,+net_admin \\
	--ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin "$LAB_DAEMON" "\$@"
SCRIPT
chmod 755 "$LAB_DIR/bin/as-tcpguard"
LAB_DAEMON=$LAB_DIR/bin/as-tcpguard
begin() {
	local status

	umask 0 # the socket to say READY to is lab-ready's
	guard_start --metrics-socket "$LAB_DIR/metrics.sock"
	status=$?
	umask 022
	return "$status"
}
cp "$LAB_BUILD/src/exporter/tcpguard-exporter" "$LAB_DIR/bin/" || tap_bail 'no exporter'
lab_serve "$GUARD" 10.77.0.2:80 || tap_bail 'no server'
begin || tap_bail 'no daemon'

# What a service manager does: the socket at descriptor 3, and of rights only the groups named.
cat >"$LAB_DIR/activate.py" <<'PY'
import os, socket, sys

port, groups, command = int(sys.argv[1]), [int(g) for g in sys.argv[2].split(",") if g], sys.argv[3:]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen(128)
if listener.fileno() == 3:
    os.set_inheritable(3, True)
else:
    os.dup2(listener.fileno(), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.setgroups(groups)
os.setgid(65533)
os.setuid(65533)
os.execvp(command[0], command)
PY

# ask.py PORT PATH: status on the first line, then the body; 0 when nobody answers.
cat >"$LAB_DIR/ask.py" <<'PY'
import http.client, sys

try:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    connection.request(sys.argv[3] if len(sys.argv) > 3 else "GET", sys.argv[2])
    answer = connection.getresponse()
    print(answer.status)
    sys.stdout.write(answer.read().decode())
except OSError:
    print(0)
PY

ask() {
	on "$GUARD" python3 "$LAB_DIR/ask.py" "$@"
}

status_of() {
	ask "$@" | sed -n 1p
}

# exporter_start PORT GROUPS [COMMAND…]: and $EXPORTER_PID; COMMAND is put before it.
exporter_start() {
	local port=$1 groups=$2

	shift 2
	ip netns exec "$GUARD" python3 "$LAB_DIR/activate.py" "$port" "$groups" "$@" \
		"$LAB_DIR/bin/tcpguard-exporter" --socket "$LAB_DIR/metrics.sock" >>"$LAB_DIR/exporter.$port" 2>&1 &
	EXPORTER_PID=$!
	disown
	wait_until "$LAB_PATIENCE" answers "$port"
}

answers() {
	[[ $(status_of "$1" /nothing) == 404 ]]
}

# shows NAME{LABELS} VALUE [PORT]
shows() {
	[[ $(ask "${3:-$PORT}" /metrics | awk -v name="$1" '$1 == name { print $2 }') == "$2" ]]
}

check 'the daemon is no root' equal "$(stat -c %u "/proc/$GUARD_PID")" 65532
check 'a socket for the group' equal "$(stat -c '%a %g' "$LAB_DIR/metrics.sock")" "660 $GROUP"
refused() {
	on "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/metrics.sock" "$@" >"$LAB_DIR/out" 2>&1
	(($? == 2)) && grep -q 'unknown request' "$LAB_DIR/out"
}
check 'it bans nobody' refused ban 10.78.1.1
check 'names nobody' refused list
check 'and has no panic' refused reload
check 'numbers it tells' quietly on "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/metrics.sock" metrics

check 'the exporter starts' exporter_start $PORT $GROUP
FIRST_PID=$EXPORTER_PID
check 'as another user' equal "$(stat -c %u "/proc/$FIRST_PID")" 65533
conns_start many --from 10.78.1.2 --to 10.77.0.2:80 --count 60 --timeout 300 --quiet
conns_done many
check 'a source is dropped' wait_until "$LAB_PATIENCE" is_dropped 10.78.1.2/32
check 'the exporter shows it' wait_until "$LAB_PATIENCE" shows \
	'tcpguard_decisions_total{policy="web",limit="open-per-ip",decision="ban"}' 1
check 'the daemon is up' shows tcpguard_up 1
ask $PORT /metrics | tail -n +2 >"$LAB_DIR/page"
promtool_is_content() {
	promtool check metrics <"$LAB_DIR/page"
}
check 'promtool finds nothing wrong' promtool_is_content
check 'no address on the page' equal "$(grep -cE '10\.78\.|fd78:' "$LAB_DIR/page")" 0

check 'another path' equal "$(status_of $PORT /)" 404
check 'another method' equal "$(status_of $PORT /metrics POST)" 405
check 'without the group' exporter_start $((PORT + 1)) ''
check 'no numbers' shows tcpguard_up 0 $((PORT + 1))
check 'and it says why' grep -q 'no numbers from .*metrics.sock: Permission denied' "$LAB_DIR/exporter.$((PORT + 1))"
if on "$GUARD" setpriv --reuid 65533 --clear-groups unshare --user true 2>/dev/null; then
	check 'in a user namespace of its own' exporter_start $((PORT + 2)) $GROUP unshare --user
	check 'the group still counts' shows tcpguard_up 1 $((PORT + 2))
fi
without_sockets() {
	"$LAB_DIR/bin/tcpguard-exporter" >"$LAB_DIR/out" 2>&1
	(($? == 2)) && grep -q 'tcpguard-exporter.socket' "$LAB_DIR/out"
}
check 'without sockets it says what to start' without_sockets
no_stream() {
	LISTEN_FDS=1 bash -c 'LISTEN_PID=$$ exec "$1" 3</dev/null' _ "$LAB_DIR/bin/tcpguard-exporter" >"$LAB_DIR/out" 2>&1
	(($? == 2)) && grep -q 'descriptor 3 is no socket' "$LAB_DIR/out"
}
check 'what is no socket is refused' no_stream

# Garbage, silence and crowds; a scrape in between. Prints how many of its scrapes failed.
cat >"$LAB_DIR/annoy.py" <<'PY'
import http.client, random, socket, sys

port, seed = int(sys.argv[1]), int(sys.argv[2])
print("seed", seed, file=sys.stderr)
random.seed(seed)
failed, crowd = 0, []

def annoy():
    peer = socket.create_connection(("127.0.0.1", port), timeout=20)
    peer.setblocking(False)
    kind = random.randrange(6)
    good = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    data = [b"", good[:random.randrange(len(good))], random.randbytes(random.randrange(1, 20000)),
            b"GET /" + b"a" * random.randrange(9000), good * random.randrange(1, 50),
            b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * random.randrange(3000)][kind]
    try:
        peer.send(data)
        if random.randrange(2):
            peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    if random.randrange(3) == 0:
        peer.close()
    else:
        crowd.append(peer)

for turn in range(20):
    for _ in range(25):
        annoy()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        failed += answer.status != 200 or b"tcpguard_up 1\n" not in answer.read()
    except OSError:
        failed += 1
    for _ in range(len(crowd) // 2):
        crowd.pop(random.randrange(len(crowd))).close()
print(failed)
PY
check 'scrapes amid 500 that annoy' equal "$(on "$GUARD" python3 "$LAB_DIR/annoy.py" $PORT "${SEED:-$RANDOM}" 2>>"$LAB_DIR/seeds")" 0
check 'it is still the same' test -e "/proc/$FIRST_PID/exe"
few_descriptors() {
	(($(find "/proc/$FIRST_PID/fd" -mindepth 1 | wc -l) <= 8))
}
check 'and holds on to nobody' wait_until "$LAB_PATIENCE" few_descriptors

# A real Prometheus, with the rules of the documents.
cat >"$LAB_DIR/prometheus.yml" <<CONFIG
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$TOP/docs/alerts.yml]
scrape_configs:
  - job_name: tcpguard
    static_configs: [{targets: ['127.0.0.1:$PORT']}]
CONFIG
check 'promtool finds the rules right' quietly promtool check rules "$TOP/docs/alerts.yml"
sed "s,ALERTS\],$TOP/docs/alerts.yml],; s/RULES/$(grep -c 'alert:' "$TOP/docs/alerts.yml")/" \
	"$TOP/tests/netns/data/alerts_test.yml" >"$LAB_DIR/alerts_test.yml"
check 'each fires when it should, and none in a quiet night' quietly promtool test rules "$LAB_DIR/alerts_test.yml"
ip netns exec "$GUARD" prometheus --config.file="$LAB_DIR/prometheus.yml" --storage.tsdb.path="$LAB_DIR/tsdb" \
	--web.listen-address=127.0.0.1:9090 >"$LAB_DIR/prometheus.log" 2>&1 &
disown

# asked FILTER API-PATH: what jq finds in Prometheus' answer.
asked() {
	ask 9090 "/api/v1/$2" | tail -n +2 | jq -r "$1" 2>/dev/null
}

# knows QUERY VALUE
knows() {
	[[ $(asked '.data.result[0].value[1]' "query?query=$(jq -rn --arg q "$1" '$q | @uri')") == "$2" ]]
}

check 'Prometheus scrapes it' wait_until 60 knows 'tcpguard_up' 1
check 'the target is well' equal "$(asked '[.data.activeTargets[] | .health + .lastError] | join(" ")' targets)" up
check 'it knows the ban' knows 'tcpguard_decisions_total{policy="web",decision="ban"}' 1
check 'and no series by address' equal "$(asked '[.data[] | select(test("addr|source|ip"))] | length' labels)" 0
check 'its rules are loaded' test "$(asked '[.data.groups[].rules[]] | length' rules)" -ge 15

# Every question of the dashboard is one that Prometheus understands.
asks_well() {
	local query status=0

	while IFS= read -r query; do
		query=${query//\$__rate_interval/1m}
		query=${query//\$instance/.*}
		[[ $(asked .status "query?query=$(jq -rn --arg q "$query" '$q | @uri')") == success ]] || {
			echo "# not understood: $query"
			status=1
		}
	done < <(jq -r '.panels[].targets[]?.expr, .annotations.list[].expr' "$TOP/docs/grafana.json")
	return "$status"
}
check 'the dashboard asks what it understands' asks_well

guard_stop
check 'without a daemon the exporter says so' wait_until "$LAB_PATIENCE" shows tcpguard_up 0
check 'and nothing else' equal "$(ask $PORT /metrics | tail -n +2 | grep -vc '^#')" 1
is_alarmed() {
	[[ $(asked '.data.alerts[] | select(.labels.alertname == "TcpguardDown") | .state' alerts) == pending ]]
}
check 'an alert is on its way' wait_until "$LAB_PATIENCE" is_alarmed
begin || tap_bail 'no daemon'
check 'with one it goes on' wait_until "$LAB_PATIENCE" shows tcpguard_up 1

# What stands in the socket's way: the daemon guards without it, says so, and mends it.
guard_stop
echo kept >"$LAB_DIR/metrics.sock"
begin || tap_bail 'no daemon'
check 'a file in the way is left there' equal "$(cat "$LAB_DIR/metrics.sock")" kept
check 'status says so' tg_true 'any(.degraded[]; startswith("control"))' status
rm "$LAB_DIR/metrics.sock"
check 'then the socket is made' wait_until "$LAB_PATIENCE" shows tcpguard_up 1
check 'and all is well' wait_until "$LAB_PATIENCE" tg_true '.degraded == []' status

# The units, with the program as it was built.
for unit in tcpguard-exporter.service tcpguard-exporter.socket; do
	sed -e "s,^ExecStart=/usr/bin/,ExecStart=$LAB_DIR/bin/," -e '/^Documentation=/d' "$TOP/systemd/$unit" >"$LAB_DIR/$unit"
done
if command -v systemd-analyze >/dev/null; then
	check 'units that systemd understands' equal \
		"$(systemd-analyze verify "$LAB_DIR/tcpguard-exporter.service" "$LAB_DIR/tcpguard-exporter.socket" 2>&1 | grep tcpguard)" ''
	check 'exposed at most 1.5' quietly systemd-analyze security --offline=yes --threshold=15 "$LAB_DIR/tcpguard-exporter.service"
fi
tap_done
