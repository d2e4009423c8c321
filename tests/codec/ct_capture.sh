#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The traffic behind data/ct_capture.bin: every kind of message that the decoder must read or pass by.
set -eu
ip link set lo up
sysctl -qw net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_time_wait=1
nft -f - <<'RULES'
table inet capture {
	chain zones {
		type filter hook prerouting priority -300
		tcp dport 8003 ct zone set 7
		tcp dport 8004 ct original zone set 9
	}
	chain out_zones {
		type filter hook output priority -300
		tcp dport 8003 ct zone set 7
		tcp dport 8004 ct original zone set 9
	}
	chain track {
		type filter hook input priority 0
		ct state new counter
		tcp dport 8005 ct mark set 5
		tcp dport 8006 drop
	}
}
table ip capture_nat {
	chain out {
		type nat hook output priority -100
		tcp dport 8010 redirect to :8000
	}
}
RULES
socat TCP6-LISTEN:8000,ipv6only=0,fork,reuseaddr EXEC:true &
one=$!
socat TCP4-LISTEN:8003,fork,reuseaddr EXEC:true &
three=$!
socat TCP4-LISTEN:8004,fork,reuseaddr EXEC:true &
four=$!
socat TCP4-LISTEN:8005,fork,reuseaddr EXEC:true &
five=$!
trap 'kill $one $three $four $five' EXIT INT TERM
for port in 8000 8003 8004 8005; do
	until ss -Hltn "sport = :$port" | grep -q .; do :; done
done
for target in TCP4:127.0.0.1:8000 'TCP6:[::1]:8000' TCP4:127.0.0.2:8010 \
	TCP4:127.0.0.1:8003 TCP4:127.0.0.1:8004 TCP4:127.0.0.1:8005; do
	socat -u "$target" - >/dev/null
done
socat -u TCP4:127.0.0.1:8001 - 2>/dev/null || : # refused
echo x | socat -u - UDP4:127.0.0.1:9000 2>/dev/null || :
echo x | socat -u - 'UDP6:[::1]:9000' 2>/dev/null || :
# Entries with helpers, labels, marks and NAT of both kinds, made by hand.
conntrack -I -s 192.0.2.1 -d 198.51.100.1 -p tcp --sport 1000 --dport 80 --state ESTABLISHED \
	-t 600 -u SEEN_REPLY,ASSURED -m 7 --dst-nat 10.0.0.1:8080 >/dev/null 2>&1
conntrack -I -s 192.0.2.2 -d 198.51.100.1 -p tcp --sport 1001 --dport 80 --state SYN_SENT2 \
	-t 60 --src-nat 10.0.0.2 >/dev/null 2>&1
conntrack -I -s 2001:db8::1 -d 2001:db8::2 -p tcp --sport 1002 --dport 443 --state SYN_RECV \
	-t 60 -w 12 >/dev/null 2>&1
conntrack -I -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 1003 --dport 53 -t 60 >/dev/null 2>&1
conntrack -I -s 192.0.2.4 -d 198.51.100.1 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 3 -t 30 \
	>/dev/null 2>&1
conntrack -I -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 \
	--icmpv6-id 3 -t 30 >/dev/null 2>&1
conntrack -I -s 192.0.2.3 -d 198.51.100.1 -p sctp --sport 1004 --dport 99 -t 60 \
	--state ESTABLISHED --orig-vtag 1 --reply-vtag 2 >/dev/null 2>&1 || :
for state in ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE; do
	conntrack -U -s 192.0.2.1 -p tcp --state $state -t 30 >/dev/null 2>&1
done
conntrack -D -s 192.0.2.2 >/dev/null 2>&1
conntrack -D -w 12 -s 2001:db8::1 >/dev/null 2>&1 || :
conntrack -D -p tcp --orig-port-dst 8004 >/dev/null 2>&1
conntrack -D -p tcp --orig-port-dst 8005 >/dev/null 2>&1
conntrack -D -f ipv6 -p tcp --orig-port-dst 8000 >/dev/null 2>&1
conntrack -D -p udp -s 127.0.0.1 >/dev/null 2>&1
