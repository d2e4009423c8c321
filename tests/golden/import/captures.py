#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: captures.py DIRECTORY
Makes the small captures that the import tests read: each has what one of them is about, and no more."""
import os
import struct
import sys

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERNET, NULL, RAW, SLL, SLL2 = 1, 0, 101, 113, 276
BEGIN = 1_700_000_000


def address(text):
    if ":" not in text:
        return bytes(int(part) for part in text.split("."))
    head, _, tail = text.partition("::")
    words = [[int(w, 16) for w in side.split(":") if w] for side in (head, tail)]
    zeros = [0] * (8 - len(words[0]) - len(words[1]))
    return struct.pack("!8H", *words[0], *zeros, *words[1])


def tcp(sport, dport, flags, seq=0, ack=0, payload=b"", options=b""):
    return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                       (20 + len(options)) // 4 << 4, flags, 65535, 0, 0) + options + payload


def ipv4(src, dst, body, options=b"", fragment=0, protocol=6, length=None):
    header = 20 + len(options)
    return struct.pack("!BBHHHBBH4s4s", 0x40 | header // 4, 0,
                       header + len(body) if length is None else length, 1, fragment, 64, protocol, 0,
                       address(src), address(dst)) + options + body


def ipv6(src, dst, body, following=6):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), following, 64, address(src), address(dst)) + body


def ip(src, dst, body):
    return (ipv6 if ":" in src else ipv4)(src, dst, body)


def ethernet(packet, tags=()):
    kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
    return bytes(12) + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + packet


def linked(link, packet):
    kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
    if link == SLL:
        return bytes(14) + struct.pack("!H", kind) + packet
    if link == SLL2:
        return struct.pack("!H", kind) + bytes(18) + packet
    if link == NULL:
        return struct.pack("<I", 30 if kind == 0x86dd else 2) + packet
    return ethernet(packet) if link == ETHERNET else packet


def pcap(link, frames, order="<", nano=False, snaplen=65535):
    """frames: (seconds since BEGIN, bytes[, bytes captured])"""
    out = struct.pack(order + "IHHiIII", 0xa1b23c4d if nano else 0xa1b2c3d4, 2, 4, 0, 0, snaplen, link)
    for at, frame, *cut in frames:
        unit = 1_000_000_000 if nano else 1_000_000
        ticks = round(at * unit)
        kept = frame[:cut[0]] if cut else frame
        out += struct.pack(order + "IIII", BEGIN + ticks // unit, ticks % unit, len(kept), len(frame)) + kept
    return out


def pcapng(link, frames):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    out += block(1, struct.pack("<HHI", link, 0, 0))
    for at, frame in frames:
        ticks = round((BEGIN + at) * 1_000_000)
        out += block(6, struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xffffffff, len(frame), len(frame)) + frame)
    return out


class Connection:
    """The packets of one, as (time, IP packet), with sequence numbers that are right."""

    def __init__(self, client, server, sport, dport, seq=1000):
        self.ends = (client, sport), (server, dport)
        self.next = [seq, 70000 + seq]
        self.packets = []

    def send(self, at, side, flags, payload=b"", seq=None):
        (src, sport), (dst, dport) = self.ends[side], self.ends[1 - side]
        segment = tcp(sport, dport, flags, self.next[side] if seq is None else seq,
                      self.next[1 - side] if flags & ACK else 0, payload)
        if seq is None:
            self.next[side] += len(payload) + bool(flags & SYN) + bool(flags & FIN)
        self.packets.append((at, ip(src, dst, segment)))
        return self

    def open(self, at):
        return self.send(at, 0, SYN).send(at + .01, 1, SYN | ACK).send(at + .02, 0, ACK)

    def close(self, at):
        """The server first."""
        return (self.send(at, 1, FIN | ACK).send(at + .01, 0, ACK).send(at + .02, 0, FIN | ACK)
                .send(at + .03, 1, ACK))


def on(link, *connections):
    packets = sorted((p for c in connections for p in c.packets), key=lambda p: p[0])
    return [(at, linked(link, packet)) for at, packet in packets]


def life():
    """Every way a connection goes, each from a host of its own; the last packet is late, so that all end."""
    def c(host):
        return Connection(f"192.0.2.{host}", "198.51.100.1", 40000 + host, 80)
    closed = c(1).open(0).send(.1, 0, ACK | PSH, b"GET").send(.2, 1, ACK | PSH, b"x" * 900).close(.3)
    reset = c(2).open(1).send(1.1, 0, RST | ACK)
    refused = c(3).send(2, 0, SYN).send(2.01, 1, RST | ACK)
    half_open = c(4).send(3, 0, SYN).send(3.01, 1, SYN | ACK).send(4, 1, SYN | ACK, seq=71000)
    unanswered = c(5).send(5, 0, SYN).send(6, 0, SYN, seq=1000).send(40, 0, SYN, seq=1000)
    reused = c(6).open(10).close(10.1)
    reused.next = [500000, 900000]
    reused.open(12).send(12.1, 1, FIN | ACK)
    blind = c(7).send(20, 0, SYN).send(20.01, 1, SYN | ACK).send(20.1, 0, RST, seq=5).send(20.2, 0, RST)
    middle = c(8).send(30, 0, ACK | PSH, b"late").send(30.1, 1, ACK)
    wrong = c(9).send(31, 0, SYN | FIN).send(31.1, 0, 0).send(31.2, 1, SYN | ACK)
    unacked = c(10).open(32).send(33, 0, ACK | PSH, b"no answer")
    last = Connection("192.0.2.99", "198.51.100.1", 1, 80).send(500, 0, SYN)
    return [closed, reset, refused, half_open, unanswered, reused, blind, middle, wrong, unacked, last]


def concurrent(link, client="192.0.2.{}", server="198.51.100.1", count=12):
    return on(link, *(Connection(client.format(7), server, 30000 + i, 443, 10 * i).open(i * .05)
                      for i in range(count)))


def odd():
    """Frames that are read in spite of what is around them, and frames that are not."""
    syn = [tcp(50000 + i, 22, SYN, 1) for i in range(20)]
    a, b, s = "203.0.113.5", "2001:db8::5", "198.51.100.1"
    s6 = "2001:db8:1::1"
    fine = [
        ethernet(ipv4(a, s, syn[0], options=bytes([1] * 8))),
        ethernet(ipv4(a, s, tcp(50001, 22, SYN, 1, options=bytes([2, 4, 5, 180, 1, 1, 1, 0])))),
        ethernet(ipv4(a, s, syn[2]), [(0x8100, 5)]),
        ethernet(ipv4(a, s, syn[3]), [(0x88a8, 5), (0x8100, 6)]),
        ethernet(ipv4(a, s, syn[4], fragment=0x2000)),
        ethernet(ipv4(a, s, syn[5], length=0)),
        ethernet(ipv4(a, s, syn[6]) + bytes(6)),
        ethernet(ipv6(b, s6, syn[7])),
        ethernet(ipv6(b, s6, bytes([60, 0]) + bytes(6) + bytes([6, 0]) + bytes(6) + syn[8], 0)),
        ethernet(ipv6(b, s6, bytes([6, 0, 0, 1]) + bytes(4) + syn[9], 44)),
        ethernet(ipv6(b, s6, bytes([6, 4]) + bytes(22) + syn[10], 51)),
    ]
    wrong = [
        ethernet(ipv4(a, s, b"x" * 40, fragment=100)),
        ethernet(ipv6(b, s6, bytes([6, 0, 1, 1]) + bytes(4) + b"x" * 16, 44)),
        ethernet(ipv4(a, s, bytes(20), protocol=17)),
        ethernet(ipv6(b, s6, bytes(20), 58)),
        bytes(12) + b"\x08\x06" + bytes(28),
        ethernet(ipv4(a, s, syn[11], length=19)),
        ethernet(ipv4(a, s, syn[12][:12])),
        ethernet(ipv4(a, s, syn[13][:12] + b"\x10" + syn[13][13:])),
        ethernet(ipv4(a, s, syn[14][:12] + b"\xf0" + syn[14][13:])),
        ethernet(b"\x42" + ipv4(a, s, syn[15])[1:]),
        ethernet(ipv6("::ffff:1.2.3.4".replace("1.2.3.4", "102:304"), s6, syn[16])),
        ethernet(ipv6(b, s6, bytes([6, 255]) + bytes(6), 0)),
        b"short",
        b"",
    ]
    frames = [(i * .01, frame) for i, frame in enumerate(fine + wrong)]
    whole = ethernet(ipv4(a, s, tcp(50017, 22, SYN, 1)))
    frames += [(1 + i * .01, whole, cut) for i, cut in enumerate((14, 20, 34, 53, 54))]
    # The clock is set back.
    frames += [(.5, ethernet(ipv4(a, s, tcp(50018, 22, SYN, 1))))]
    return frames


def idle():
    """One that talks, one that says nothing, one that keeps itself alive, for four minutes."""
    talks = Connection("192.0.2.1", "198.51.100.1", 40001, 80).open(0)
    silent = Connection("192.0.2.2", "198.51.100.1", 40002, 80).open(0)
    alive = Connection("192.0.2.3", "198.51.100.1", 40003, 80).open(0)
    for at in range(10, 240, 10):
        talks.send(at, 0, ACK | PSH, b"x" * 200).send(at + .01, 1, ACK)
        if at % 30 == 0:
            alive.send(at, 0, ACK, seq=alive.next[0] - 1).send(at + .01, 1, ACK)
    return [talks, silent, alive]


def main():
    good = pcap(ETHERNET, on(ETHERNET, *life()))
    captures = {
        "life.pcap": good,
        "nano-big-endian.pcap": pcap(ETHERNET, on(ETHERNET, *life()), ">", True),
        "life.pcapng": pcapng(ETHERNET, on(ETHERNET, *life())),
        "sll.pcap": pcap(SLL, concurrent(SLL)),
        "sll2.pcap": pcap(SLL2, concurrent(SLL2)),
        "null.pcap": pcap(NULL, concurrent(NULL)),
        "raw.pcap": pcap(RAW, concurrent(RAW)),
        "ipv6.pcapng": pcapng(RAW, concurrent(RAW, "2001:db8:7::{}", "2001:db8:1::1")),
        "odd.pcap": pcap(ETHERNET, odd()),
        "idle.pcap": pcap(RAW, on(RAW, *idle())),
        "empty.pcap": pcap(ETHERNET, []),
        "wifi.pcap": pcap(105, [(0, bytes(60))]),
        "cut.pcap": good[:-7],
        "garbage.pcap": b"this was never a capture" * 4,
    }
    for name, data in captures.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(data)


main()
