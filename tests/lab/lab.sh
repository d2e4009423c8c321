# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
#
# The lab: hosts in network namespaces, a daemon on one of them, and helpers that
# await what they need. Sourced by tests/demo.sh and tests/netns/accept_*.sh after
# LAB_BUILD names the build directory. Everything made here is undone by a trap,
# whatever ends the script. Nothing reaches beyond the namespaces.
# In pipes no grep -q: it leaves early, and under pipefail the writer's SIGPIPE is then a failure.
#
# Two hosts (lab_pair):
#
#   CLIENT eth0 10.77.0.1, fd77::1 ---- eth0 10.77.0.2, fd77::2 GUARD
#     clients  10.78.0.0/16, fd78::/32   answer (the whole range is local to CLIENT)
#     forged   10.79.0.0/16, fd79::/32   lead to CLIENT, and nobody answers
#
# Three (lab_router): GUARD forwards to SERVER eth0 10.88.0.2, fd88::2 behind its eth1,
# and its port 8080 is DNAT to SERVER port 80.

LAB_TAG=${LAB_TAG:-tcpguard}-$$
CLIENT=$LAB_TAG-client
GUARD=$LAB_TAG-guard
SERVER=$LAB_TAG-server
LAB_NAMESPACES=()
LAB_DIR=
LAB_TOOLS=$LAB_BUILD/tests/lab
LAB_DAEMON=$LAB_BUILD/src/daemon/tcpguardd
LAB_CLI=$LAB_BUILD/src/cli/tcpguard
# Two cores, sanitizers and other tests beside us: nothing here takes long, but let it.
LAB_PATIENCE=${LAB_PATIENCE:-20}

lab_init() {
	LAB_DIR=$(mktemp -d /tmp/tcpguard-lab.XXXXXX) || return 1
	# Beside each other, as they are when installed: panic looks for the daemon there.
	mkdir "$LAB_DIR/bin"
	cp "$LAB_DAEMON" "$LAB_CLI" "$LAB_DIR/bin" || return 1
	LAB_DAEMON=$LAB_DIR/bin/tcpguardd
	LAB_CLI=$LAB_DIR/bin/tcpguard
	trap lab_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# Ends what runs in our namespaces, by the namespace it lives in, and takes them away.
lab_cleanup() {
	local status=$? ns pids

	trap '' INT TERM HUP
	for ns in "${LAB_NAMESPACES[@]}"; do
		mapfile -t pids < <(ip netns pids "$ns" 2>/dev/null)
		((${#pids[@]})) && kill -9 "${pids[@]}" 2>/dev/null
		wait_until 5 lab_is_empty "$ns"
		ip netns del "$ns" 2>/dev/null
		rm -rf "/etc/netns/$ns"
	done
	rmdir /etc/netns 2>/dev/null
	LAB_NAMESPACES=()
	[[ -n $LAB_DIR ]] && rm -rf "$LAB_DIR"
	# Jobs that were killed would else be announced by the shell.
	wait 2>/dev/null
	return "$status"
}

lab_is_empty() {
	[[ -z $(ip netns pids "$1" 2>/dev/null) ]]
}

# wait_until SECONDS COMMAND…: true as soon as COMMAND is; false when it never was.
wait_until() {
	local end=$((SECONDS + $1 + 1))

	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

# CLOCK_MONOTONIC, the clock of lab-conns.
lab_now_ns() {
	python3 -c 'import time; print(time.monotonic_ns())'
}

# on NAMESPACE COMMAND…  In the background, use ip netns exec itself: $! is then the command.
on() {
	ip netns exec "$@"
}

lab_namespace() {
	local ns=$1

	ip netns add "$ns" || return 1
	LAB_NAMESPACES+=("$ns")
	mkdir -p "/etc/netns/$ns"
	# The daemon protects resolvers: give the lab one of its own.
	echo 'nameserver 10.77.0.53' >"/etc/netns/$ns/resolv.conf"
	on "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
	on "$ns" ip link set lo up
}

# lab_link NS_A DEV_A NS_B DEV_B
lab_link() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3" &&
		on "$1" ip link set "$2" up &&
		on "$3" ip link set "$4" up
}

# lab_address NS DEV ADDRESS/LEN…
lab_address() {
	local ns=$1 dev=$2 address

	shift 2
	for address; do
		case $address in
		*:*) on "$ns" ip -6 addr add "$address" dev "$dev" nodad ;;
		*) on "$ns" ip addr add "$address" dev "$dev" ;;
		esac || return 1
	done
}

lab_pair() {
	lab_namespace "$CLIENT" && lab_namespace "$GUARD" || return 1
	lab_link "$CLIENT" eth0 "$GUARD" eth0 || return 1
	lab_address "$CLIENT" eth0 10.77.0.1/24 fd77::1/64 || return 1
	lab_address "$GUARD" eth0 10.77.0.2/24 fd77::2/64 || return 1
	on "$CLIENT" ip route add local 10.78.0.0/16 dev lo
	on "$CLIENT" ip -6 route add local fd78::/32 dev lo
	on "$GUARD" ip route add default via 10.77.0.1
	on "$GUARD" ip -6 route add default via fd77::1
	# A listener that refuses what the flood brings would hide what the guard does.
	on "$GUARD" sysctl -qw net.ipv4.tcp_max_syn_backlog=4096 net.core.somaxconn=4096
	LAB_MAC=$(on "$GUARD" cat /sys/class/net/eth0/address)
	# Neighbours now, so that no first packet waits for an answer.
	on "$CLIENT" ping -c1 -W2 10.77.0.2 >/dev/null 2>&1
	on "$CLIENT" ping -c1 -W2 fd77::2 >/dev/null 2>&1
	return 0
}

lab_router() {
	lab_pair && lab_namespace "$SERVER" || return 1
	lab_link "$GUARD" eth1 "$SERVER" eth0 || return 1
	lab_address "$GUARD" eth1 10.88.0.1/24 fd88::1/64 || return 1
	lab_address "$SERVER" eth0 10.88.0.2/24 fd88::2/64 || return 1
	on "$SERVER" ip route add default via 10.88.0.1
	on "$SERVER" ip -6 route add default via fd88::1
	on "$CLIENT" ip route add 10.88.0.0/24 via 10.77.0.2
	on "$CLIENT" ip -6 route add fd88::/64 via fd77::2
	on "$GUARD" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	on "$GUARD" nft -f - <<-'EOF'
		table inet lab_nat {
			chain pre {
				type nat hook prerouting priority dstnat;
				ip daddr 10.77.0.2 tcp dport 8080 dnat ip to 10.88.0.2:80
				ip6 daddr fd77::2 tcp dport 8080 dnat ip6 to [fd88::2]:80
			}
		}
	EOF
}

# lab_serve NS ENDPOINT…: a server that listens before this returns; $LAB_SERVER_PID.
# LAB_IDLE, if set, is the time in seconds after which it resets a silent connection;
# LAB_NO_ACCEPT leaves connections in the backlog, where nobody closes them.
lab_serve() {
	local ns=$1 endpoint options=()

	[[ -n ${LAB_IDLE:-} ]] && options+=(--idle "$LAB_IDLE")
	[[ -n ${LAB_NO_ACCEPT:-} ]] && options+=(--no-accept)
	shift
	for endpoint; do
		options+=(--listen "$endpoint")
	done
	: >"$LAB_DIR/server.$ns"
	ip netns exec "$ns" "$LAB_TOOLS/lab-server" "${options[@]}" >"$LAB_DIR/server.$ns" 2>&1 &
	LAB_SERVER_PID=$!
	disown
	wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/server.$ns"
}

# Packets of a few clients can be held back before any conntrack sees them, so that flows stand
# in states that else pass in a moment. Members are added by lab_mute SET ADDRESS:
#   answers  nothing that GUARD sends to it gets out
#   resets   nor, of this one, the resets
#   acks     its bare ACKs do not get out
#   fins     of each connection, its first FIN gets out and no other
lab_mutes() {
	on "$GUARD" nft -f - <<-'EOF' &&
		table ip lab_mute {
			set answers { type ipv4_addr; }
			set resets { type ipv4_addr; }
			chain out {
				type filter hook output priority -300;
				ip daddr @answers drop
				ip daddr @resets tcp flags & rst == rst drop
			}
		}
	EOF
		on "$CLIENT" nft -f - <<-'EOF'
			table ip lab_mute {
				set acks { type ipv4_addr; }
				set fins { type ipv4_addr; }
				set sent { type ipv4_addr . inet_service; flags dynamic; size 65535; }
				chain out {
					type filter hook output priority -300;
					ip saddr @acks tcp flags & (fin|syn|rst|ack) == ack drop
					ip saddr @fins tcp flags & fin == fin ip saddr . tcp sport @sent drop
					ip saddr @fins tcp flags & fin == fin add @sent { ip saddr . tcp sport }
				}
			}
		EOF
}

lab_mute() {
	local ns=$CLIENT

	[[ $1 == answers || $1 == resets ]] && ns=$GUARD
	on "$ns" nft add element ip lab_mute "$1" "{ $2 }"
}

# The daemon on GUARD, with its policy on stdin; ready when this returns. Arguments go to it.
guard_policy() {
	mkdir -p "$LAB_DIR/etc" "$LAB_DIR/state"
	cat >"$LAB_DIR/etc/tcpguard.yaml"
}

guard_start() {
	local status

	on "$GUARD" "$LAB_TOOLS/lab-ready" "$LAB_DIR/notify" "$LAB_PATIENCE" "$LAB_DIR/guard.pid" \
		"$LAB_DAEMON" --config "$LAB_DIR/etc/tcpguard.yaml" --state-dir "$LAB_DIR/state" \
		--socket "$LAB_DIR/control.sock" "$@" >>"$LAB_DIR/guard.log" 2>&1 </dev/null
	status=$?
	GUARD_PID=$(cat "$LAB_DIR/guard.pid" 2>/dev/null)
	((status == 0)) || sed 's/^/# daemon: /' "$LAB_DIR/guard.log"
	return "$status"
}

# Ended, whether or not process 1 of this machine has taken note (in containers some do not).
is_gone() {
	! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# guard_stop [SIGNAL]: and waits until it has ended.
guard_stop() {
	[[ -n ${GUARD_PID:-} ]] || return 0
	kill "-${1:-TERM}" "$GUARD_PID" 2>/dev/null
	wait_until "$LAB_PATIENCE" is_gone "$GUARD_PID"
}

# The command line, on GUARD.
tg() {
	on "$GUARD" "$LAB_CLI" --socket "$LAB_DIR/control.sock" "$@"
}

# tg_value FILTER VERB…: what a jq filter finds in the verb's JSON.
tg_value() {
	local filter=$1

	shift
	tg "$@" --json 2>>"$LAB_DIR/tg.log" | jq -r "$filter"
}

# tg_true FILTER VERB…: true if the filter says so.
tg_true() {
	local filter=$1

	shift
	tg "$@" --json 2>/dev/null | jq -e "$filter" >/dev/null 2>&1
}

is_banned() {
	tg_true "any(.bans[]; .source == \"$1\" and .enforced)" list
}

# By a drop, not by the rate-limit that stands in for it until the sockets were asked.
is_dropped() {
	tg_true "any(.bans[]; .source == \"$1\" and .enforced and .action == \"drop\")" list
}

is_not_banned() {
	tg list --json 2>/dev/null | jq -e "all(.bans[]; .source != \"$1\")" >/dev/null 2>&1
}

# What the kernel itself holds: "ADDRESS EXPIRES" for each element of our sets with a timeout, or
# "ADDRESS never". Reads the text: the JSON of nft 1.0.6 breaks off at a table whose owner died.
kernel_bans() {
	# shellcheck disable=SC2016 # perl's variables
	on "$GUARD" nft list table inet tcpguard 2>/dev/null | perl -0777 -ne '
		while (/^\tset (\S+) \{(.*?)^\t\}/msg) {
			my $set = $2;
			next if $set =~ /^\t\tflags .*dynamic/m; # what rules count is no ban
			next unless $set =~ /^\t\ttimeout /m && $set =~ /elements = \{ (.*) \}\s*$/s;
			my $elements = $1;
			while ($elements =~ /\G\s*([0-9a-f.:]+)((?:[^,"]|"[^"]*")*),?/g) {
				my ($key, $rest) = ($1, $2);
				print "$key ", $rest =~ /expires (\S+)/ ? $1 : "never", "\n";
			}
		}'
}

kernel_holds() {
	kernel_bans | grep "^$1 [0-9]" >/dev/null
}

# Clients that go about their business until clients_report: NAME ENDPOINT FIRST SOURCES STRIDE.
LAB_CLIENTS=()
clients_start() {
	: >"$LAB_DIR/clients.$1"
	ip netns exec "$CLIENT" "$LAB_TOOLS/lab-clients" --to "$2" --from "$3" --sources "$4" --stride "$5" \
		--pause "${LAB_PAUSE:-100}" >"$LAB_DIR/clients.$1" 2>&1 &
	LAB_CLIENTS+=("$1:$!")
	disown # its end is no news
	wait_until "$LAB_PATIENCE" grep -q READY "$LAB_DIR/clients.$1"
}

clients_said() {
	(($(grep -c REPORT "$LAB_DIR/clients.$1") >= $2))
}

# What happened since the last report, of all clients together: sets CLIENTS_OK, CLIENTS_FAILED
# and CLIENTS_P95_US (the worst of them).
clients_report() {
	local entry name number line p95

	CLIENTS_OK=0 CLIENTS_FAILED=0 CLIENTS_P95_US=0
	for entry in "${LAB_CLIENTS[@]}"; do
		name=${entry%%:*}
		number=$(grep -c REPORT "$LAB_DIR/clients.$name")
		kill -USR1 "${entry##*:}"
		wait_until "$LAB_PATIENCE" clients_said "$name" $((number + 1)) || return 1
		line=$(grep REPORT "$LAB_DIR/clients.$name" | tail -n 1)
		CLIENTS_OK=$((CLIENTS_OK + $(field ok <<<"$line")))
		CLIENTS_FAILED=$((CLIENTS_FAILED + $(field failed <<<"$line")))
		p95=$(field p95_us <<<"$line")
		CLIENTS_P95_US=$((p95 > CLIENTS_P95_US ? p95 : CLIENTS_P95_US))
	done
}

# conns_start NAME OPTION…: lab-conns on CLIENT, what it says in $LAB_DIR/conns.NAME; $CONNS_PID.
conns_start() {
	local name=$1

	shift
	: >"$LAB_DIR/conns.$name"
	ip netns exec "$CLIENT" "$LAB_TOOLS/lab-conns" "$@" >"$LAB_DIR/conns.$name" 2>&1 &
	CONNS_PID=$!
	disown
}

conns_done() {
	wait_until "$LAB_PATIENCE" grep -q DONE "$LAB_DIR/conns.$1"
}

# conns_stop PID: closes what it holds, and waits until it has ended.
conns_stop() {
	kill "$1" 2>/dev/null
	wait_until "$LAB_PATIENCE" is_gone "$1"
}

# flood OPTION…: lab-flood from CLIENT to GUARD, whose link address it knows.
flood() {
	on "$CLIENT" "$LAB_TOOLS/lab-flood" --dev eth0 --mac "$LAB_MAC" "$@"
}

# What is banned or observed: "SOURCE POLICY LIMIT", sorted.
bans_of() {
	tg_value '.bans[] | "\(.source) \(.policy) \(.limit)"' list | sort
}

# conns_delay NAME LIMIT: milliseconds from the moment connection LIMIT + 1 was established to the
# first SYN after it that got no answer: by then the ban was in force. Nothing if none was.
conns_delay() {
	awk -v nth=$(($2 + 1)) '
		$1 == "connected" && ++count == nth { from = $3 }
		$1 == "failed" && (!first || $3 < first) { first = $3 }
		END { if (from && first) printf "%.1f\n", (first - from) / 1e6 }' "$LAB_DIR/conns.$1"
}

# One connection, from this source; true if it was established.
connects() {
	on "$CLIENT" "$LAB_TOOLS/lab-conns" --from "$1" --to "$2" --timeout "${3:-1000}" --hold 0 --rst \
		2>/dev/null | grep 'DONE connected=1 ' >/dev/null
}

# One value of the form NAME=VALUE out of a line.
field() {
	sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" | tail -n 1
}

# "SOURCE STATE COUNT"; conntrack says ESTABLISHED where the guard says established. What is in CLOSE,
# reset and gone but for a few seconds, counts for no source.
kernel_table() {
	{
		on "$GUARD" conntrack -L -f ipv4 -p tcp 2>/dev/null
		on "$GUARD" conntrack -L -f ipv6 -p tcp 2>/dev/null
	} | awk '{
		state = tolower($4); gsub("_", "-", state); if (state == "close") next
		for (i = 1; i <= NF; i++) if ($i ~ /^src=/) { source = substr($i, 5); break }
		if (source ~ /:/) sub(/::[0-9a-f]*$/, "::/64", source); else source = source "/32"
		count[source " " state]++
	} END { for (key in count) print key, count[key] }' | sort
}

guard_table() {
	tg_value '.sources[] | .source as $s | .states | to_entries[] | select(.value != 0) | "\($s) \(.key) \(.value)"' top --count 0 | sort
}

agree() {
	kernel_table >"$LAB_DIR/kernel.table"
	guard_table >"$LAB_DIR/guard.table"
	cmp -s "$LAB_DIR/kernel.table" "$LAB_DIR/guard.table"
}

# agrees SECONDS: the counts of every source come to be those of the kernel's own table.
agrees() {
	wait_until "$1" agree && return 0
	diff "$LAB_DIR/kernel.table" "$LAB_DIR/guard.table" | head -n 8 | sed 's/^/# /'
	return 1
}

# TAP: ok DESCRIPTION COMMAND…
TAP_COUNT=0
TAP_FAILED=0

tap_result() {
	local good=$1

	shift
	TAP_COUNT=$((TAP_COUNT + 1))
	if ((good == 0)); then
		echo "ok $TAP_COUNT - $*"
	else
		TAP_FAILED=$((TAP_FAILED + 1))
		echo "not ok $TAP_COUNT - $*"
	fi
}

check() {
	local description=$1 status

	shift
	"$@"
	status=$?
	tap_result "$status" "$description"
	return "$status"
}

quietly() {
	"$@" >>"$LAB_DIR/tg.log" 2>&1
}

# equal GOT WANT, and says what it got when they differ.
equal() {
	[[ $1 == "$2" ]] || {
		echo "# got '$1', want '$2'"
		return 1
	}
}

# at_most GOT LIMIT
at_most() {
	[[ $1 =~ ^[0-9]+$ ]] && (($1 <= $2)) && return 0
	echo "# got '$1', want at most $2"
	return 1
}

tap_note() {
	printf '# %s\n' "$*"
}

# After a failure: what the daemon said last.
tap_done() {
	if ((TAP_FAILED)) && [[ -f $LAB_DIR/guard.log ]]; then
		tail -n 30 "$LAB_DIR/guard.log" | sed 's/^/# daemon: /'
	fi
	echo "1..$TAP_COUNT"
	exit $((TAP_FAILED != 0))
}

tap_bail() {
	[[ -f $LAB_DIR/guard.log ]] && tail -n 30 "$LAB_DIR/guard.log" | sed 's/^/# daemon: /'
	echo "Bail out! $*"
	exit 1
}

# Namespace tests begin with this.
lab_begin() {
	local tool

	if ((EUID != 0)); then
		echo '1..0 # SKIP needs root'
		exit 0
	fi
	for tool in ip nft conntrack jq; do
		command -v "$tool" >/dev/null || {
			echo "1..0 # SKIP needs $tool"
			exit 0
		}
	done
	lab_init || exit 1
}
