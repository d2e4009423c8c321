#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: test_doctor.py TCPGUARD DOCTOR.MD
Makes what each finding of doctor is about, sees it found, takes it away and sees it gone. In a network
namespace; what a namespace cannot have (keys of the whole machine, of old and of vendors' kernels, full
tables) stands in copies of parts of /proc that are mounted over them for the one program. Root only."""
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 20
NET = "10.99.0"  # of a device that leads nowhere: who is said to send from there never answers
LIBC = ctypes.CDLL(None, use_errno=True)
MS_BIND, MNT_DETACH = 4096, 2

count = failed = 0
seen = set()


def check(name, good, note=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good and note:
        print(f"# {note}", flush=True)


def mount(source, target):
    if LIBC.mount(source.encode(), target.encode(), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def read_sys(key):
    with open(f"/proc/sys/{key}", encoding="ascii") as file:
        return file.read().strip()


def write_sys(key, value):
    with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
        file.write(str(value))


class Doctor:
    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.root = os.path.join(folder, "root")
        os.mkdir(self.root)
        self.config = os.path.join(folder, "none.yaml")
        self.fake_net = None

    def run(self, *options, root=True, user=None):
        command = [self.program, "--config", self.config, "doctor", *options]
        if root:
            command += ["--root", self.root]
        net = self.fake_net
        # /proc/net is each process's own.
        return subprocess.run(command, capture_output=True, text=True, check=False, user=user,
                              preexec_fn=(lambda: mount(net, "/proc/self/net")) if net else None)

    def report(self, *options, **keywords):
        result = self.run("--json", *options, **keywords)
        if result.returncode not in (0, 1) or result.stderr:
            raise RuntimeError(f"doctor: {result.returncode} {result.stderr}")
        report = json.loads(result.stdout)
        if (result.returncode == 1) != bool(report["findings"]) or report["schema"] != 1:
            raise RuntimeError("exit status and findings are not one")
        return report

    def find(self, name, *options, **keywords):
        for finding in self.report(*options, **keywords)["findings"]:
            if finding["id"] == name:
                return finding
        return None


def wait(condition):
    end = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result or time.monotonic() > end:
            return result
        time.sleep(0.02)


def is_sound(finding, severity):
    return (finding["severity"] == severity and finding["why"] == f"doctor.md#{finding['id']}"
            and all(finding[key] for key in ("value", "evidence", "advice", "avoid")))


def comes_and_goes(doctor, name, severity, condition, options=(), says="", keywords=None, cured=None):
    """condition: a context in which it is found, and after which it is not. cured: what to ask instead
    of leaving, for what the kernel counts and never forgets."""
    keywords = keywords or {}
    before = doctor.find(name, *options, **keywords)
    with condition:
        found = wait(lambda: doctor.find(name, *options, **keywords))
        inner = wait(lambda: not doctor.find(name, *cured)) if cured else True
    gone = inner if cured else wait(lambda: not doctor.find(name, *options, **keywords))
    good = bool(not before and found and is_sound(found, severity) and says in found["value"]
                + found["evidence"] + found["advice"] + (found["setting"] or "") and gone)
    check(f"{name} comes and goes", good, f"before {before} found {found} gone {gone}")
    if found:
        seen.add(name)


@contextlib.contextmanager
def sysctls(**values):
    """net__ipv4__tcp_syncookies=0"""
    values = {key.replace("__", "/"): value for key, value in values.items()}
    old = {key: read_sys(key) for key in values}
    try:
        for key, value in values.items():
            write_sys(key, value)
        yield
    finally:
        for key, value in old.items():
            write_sys(key, value)


class FakeProc:
    """Files over parts of /proc for the runs of one finding: what is there now, and other values."""
    COPIES = ["net/netstat", "net/softnet_stat", "net/sockstat", "net/stat/nf_conntrack"]

    def __init__(self, doctor, **files):
        self.doctor = doctor
        self.folder = os.path.join(doctor.folder, "proc")
        self.files = {key.replace("__", "/"): value for key, value in files.items()}

    def __enter__(self):
        for top in ("sys/net/ipv4", "sys/net/core", "sys/net/netfilter"):
            os.makedirs(f"{self.folder}/{top}")
            for name in os.listdir(f"/proc/{top}"):
                with contextlib.suppress(OSError), open(f"/proc/{top}/{name}", encoding="ascii") as file:
                    self.put(f"{top}/{name}", file.read())
        for path in self.COPIES:
            with contextlib.suppress(OSError), open(f"/proc/{path}", encoding="ascii") as file:
                self.put(path, file.read())
        for path, text in self.files.items():
            self.put(path, text)
        mount(f"{self.folder}/sys/net", "/proc/sys/net")
        self.doctor.fake_net = f"{self.folder}/net"

    def put(self, path, text):
        full = f"{self.folder}/{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="ascii") as file:
            file.write(text)

    def __exit__(self, *_):
        self.doctor.fake_net = None
        if LIBC.umount2(b"/proc/sys/net", MNT_DETACH) != 0:
            raise OSError(ctypes.get_errno(), "umount")
        shutil.rmtree(self.folder)


class Pair:
    """So many connections: our sockets and those that the listener accepted."""

    def __init__(self, number, host="127.0.0.1", backlog=4096, port=0, accept=True):
        self.listener = socket.create_server((host, port), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.ours, self.theirs = [], []
        for _ in range(number):
            self.ours.append(socket.create_connection((host, self.port)))
            if accept:
                self.theirs.append(self.listener.accept()[0])

    def __enter__(self):
        return self

    @staticmethod
    def close_all(sockets):
        for one in sockets:
            one.close()
        sockets.clear()

    def __exit__(self, *_):
        self.close_all(self.ours)
        self.close_all(self.theirs)
        self.listener.close()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def send_syns(port, number):
    """SYNs to this host as if from others, who answer nothing."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    target = socket.inet_aton(f"{NET}.1")
    for i in range(number):
        source = socket.inet_aton(f"{NET}.{2 + i % 250}")
        tcp = struct.pack("!HHIIBBHHH", 2000 + i, port, 1, 0, 5 << 4, 2, 1000, 0, 0)
        total = checksum(source + target + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
        tcp = tcp[:16] + struct.pack("!H", total) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, source, target)
        raw.sendto(ip + tcp, (f"{NET}.1", 0))
    raw.close()


@contextlib.contextmanager
def listening(backlog):
    with socket.create_server(("127.0.0.1", 0), backlog=backlog):
        yield


@contextlib.contextmanager
def flooded(backlog, number):
    with socket.create_server((f"{NET}.1", 0), backlog=backlog) as listener:
        send_syns(listener.getsockname()[1], number)
        yield


@contextlib.contextmanager
def overflowing():
    """A service that does not accept, and clients that come."""
    with socket.create_server(("127.0.0.1", 0), backlog=2) as listener:
        clients = []
        for _ in range(6):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            clients.append(client)
        try:
            yield
        finally:
            for client in clients:
                client.close()


@contextlib.contextmanager
def all_of(*contexts):
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def queues(doctor):
    comes_and_goes(doctor, "syncookies-off", "critical", sysctls(net__ipv4__tcp_syncookies=0))
    comes_and_goes(doctor, "syncookies-always", "warning", sysctls(net__ipv4__tcp_syncookies=2))
    with socket.create_server(("127.0.0.1", 0), backlog=512):
        comes_and_goes(doctor, "syn-backlog-small", "warning",
                       sysctls(net__ipv4__tcp_syncookies=0, net__ipv4__tcp_max_syn_backlog=128))
        with sysctls(net__ipv4__tcp_max_syn_backlog=128):
            check("with cookies tcp_max_syn_backlog is nobody's business",
                  not doctor.find("syn-backlog-small"))
    comes_and_goes(doctor, "syn-queue-full", "advice", flooded(4, 30), says="half-open",
                   cured=("--over", "1s"))
    comes_and_goes(doctor, "listen-drops", "advice",
                   all_of(sysctls(net__ipv4__tcp_syncookies=0, net__ipv4__tcp_max_syn_backlog=16),
                          flooded(256, 60)), cured=("--over", "1s"))
    comes_and_goes(doctor, "accept-queue-full", "critical", overflowing(), says="python3 (pid ")
    # It came with the last one, and is counted for good.
    found = doctor.find("listen-overflows")
    check("listen-overflows comes", found and is_sound(found, "advice"), found)
    check("listen-overflows goes when nothing overflows", not doctor.find("listen-overflows", "--over", "1s"))
    seen.add("listen-overflows")
    now = []
    thread = threading.Thread(target=lambda: now.append(doctor.find("listen-overflows", "--over", "2s")))
    thread.start()
    while thread.is_alive():
        with overflowing():
            thread.join(0.05)
    check("it is there again while something does", now[0] and is_sound(now[0], "warning")
          and "in the last 2 s" in now[0]["value"], now)
    with sysctls(net__core__somaxconn=64):
        comes_and_goes(doctor, "somaxconn-low", "advice",
                       listening(1000), says="net.core.somaxconn = 4096")


def machine(doctor):
    softnet = "0000ffff {} 00000001 0 0 0 0 0 0 0 0 0 00000000 0 0\n"
    report = doctor.report()
    unknown = {entry["name"] for entry in report["unknown"]}
    check("what a namespace does not show is said to be unknown",
          {"net.core.netdev_max_backlog", "net.ipv4.tcp_mem"} <= unknown, unknown)
    comes_and_goes(doctor, "softnet-drops", "advice",
                   FakeProc(doctor, sys__net__core__netdev_max_backlog="1000\n",
                            net__softnet_stat=softnet.format("0000000a") + softnet.format("00000005")),
                   says="15 packets")
    with FakeProc(doctor, sys__net__core__netdev_max_backlog="1000\n",
                  net__softnet_stat=softnet.format("00000000")):
        check("softnet without drops is no finding", not doctor.find("softnet-drops"))
    sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem {}\n"
    for pages, severity in ((200, "warning"), (299, "critical")):
        comes_and_goes(doctor, "tcp-memory", severity,
                       FakeProc(doctor, sys__net__ipv4__tcp_mem="100\t200\t300\n",
                                net__sockstat=sockstat.format(pages)), says=f"{pages} pages")
    names = "TcpExt: TCPAbortOnMemory TCPMemoryPressures\nTcpExt: {} 1\n"
    comes_and_goes(doctor, "tcp-memory-aborts", "advice",
                   FakeProc(doctor, net__netstat=names.format(3)), says="TCPAbortOnMemory 3")


def make_time_wait(number, server_first):
    """On the listener's port when the server closes first, on ours otherwise."""
    with Pair(0) as pair:
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", pair.port))
            server, _ = pair.listener.accept()
            first, last = (server, client) if server_first else (client, server)
            first.close()
            last.recv(1)
            last.close()
        return pair.port


def few_buckets():
    """Too few for this machine, however small it is."""
    return int(read_sys("net/ipv4/tcp_max_tw_buckets")) // 8


def ends(doctor):
    comes_and_goes(doctor, "tw-buckets-low", "warning", sysctls(net__ipv4__tcp_max_tw_buckets=few_buckets()),
                   says="tcp_max_tw_buckets = " + read_sys("net/ipv4/tcp_max_tw_buckets"))
    comes_and_goes(doctor, "tw-reuse", "advice",
                   sysctls(net__ipv4__tcp_tw_reuse=1, net__ipv4__tcp_timestamps=0), says="timestamps = 1")
    comes_and_goes(doctor, "tw-reuse", "advice", sysctls(net__ipv4__tcp_tw_reuse=1), says="opens")

    with sysctls(net__ipv4__tcp_max_tw_buckets=20):
        make_time_wait(40, False)
        found = wait(lambda: doctor.find("tw-buckets-full"))
        check("tw-buckets-full comes", found and is_sound(found, "critical"), found)
        seen.add("tw-buckets-full")
    check("tw-buckets-full is milder once it was", doctor.find("tw-buckets-full")["severity"] == "warning")
    check("tw-buckets-full goes when nothing overflows", not doctor.find("tw-buckets-full", "--over", "1s"))
    comes_and_goes(doctor, "tw-recycle", "critical",
                   FakeProc(doctor, sys__net__ipv4__tcp_tw_recycle="1\n"))
    comes_and_goes(doctor, "tw-timeout", "warning",
                   FakeProc(doctor, sys__net__ipv4__tcp_tw_timeout="3\n"))
    comes_and_goes(doctor, "fin-timeout-low", "advice", sysctls(net__ipv4__tcp_fin_timeout=10),
                   says="FIN_WAIT2")

    @contextlib.contextmanager
    def half_closed():
        with Pair(600) as pair:
            pair.close_all(pair.ours)
            yield

    comes_and_goes(doctor, "fin-wait2-pile", "advice", half_closed())

    # Those in TIME_WAIT stay for a minute; that the service keeps connections now is the cure.
    port = make_time_wait(600, True)
    with socket.create_server(("127.0.0.1", port)):
        found = wait(lambda: doctor.find("server-closes-first"))
        check("server-closes-first comes", found and is_sound(found, "advice")
              and f"port {port}: 600 in TIME_WAIT" in found["value"], found)
        seen.add("server-closes-first")
    with Pair(200, port=port):
        check("server-closes-first goes when connections are kept",
              wait(lambda: not doctor.find("server-closes-first")))


def ports(doctor):
    with sysctls(net__ipv4__ip_local_port_range="40000 40099"), \
            sysctls(net__ipv4__ip_local_reserved_ports="40000-40009,50000"):
        with Pair(60):
            check("a range that is two thirds full is no finding", not doctor.find("ports-per-destination"))
        with Pair(75, host=f"{NET}.1") as pair:
            found = wait(lambda: doctor.find("ports-per-destination"))
            check("ports-per-destination comes", found and is_sound(found, "warning")
                  and f"75 of 90 ports in use to {NET}.1 port {pair.port}" in found["value"], found)
            seen.add("ports-per-destination")
            with sysctls(net__ipv4__ip_local_port_range="40000 41099"):
                check("ports-per-destination goes with a wider range",
                      not doctor.find("ports-per-destination"))


def stale(doctor):
    @contextlib.contextmanager
    def relying():
        with Pair(12) as pair:
            for one in pair.ours:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            yield

    comes_and_goes(doctor, "keepalive-slow", "advice", relying(), says="2 h 11 min")
    with relying(), sysctls(net__ipv4__tcp_keepalive_time=600):
        check("keepalive-slow is not there with shorter times", not doctor.find("keepalive-slow"))
    with Pair(12, host=f"{NET}.1") as pair:
        found = wait(lambda: doctor.find("idle-without-keepalive", "--idle", "1ms"))
        check("idle-without-keepalive comes", found and is_sound(found, "advice")
              and "24 established" in found["value"] and f"pid {os.getpid()}" in found["value"]
              and f"port {pair.port}" in found["advice"], found)
        seen.add("idle-without-keepalive")
        check("they are not idle for long", not doctor.find("idle-without-keepalive", "--idle", "10m"))
        for one in pair.ours + pair.theirs:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        check("idle-without-keepalive goes", wait(
            lambda: not doctor.find("idle-without-keepalive", "--idle", "1ms")))

    @contextlib.contextmanager
    def forgotten():
        with Pair(25) as pair:
            pair.close_all(pair.ours)
            yield

    comes_and_goes(doctor, "close-wait", "advice", forgotten(), says=f"pid {os.getpid()}): 25 in")
    with Pair(15, accept=False) as pair:
        pair.close_all(pair.ours)
        found = wait(lambda: doctor.find("close-wait"))
        check("those that nobody has accepted are the listener's",
              found and f"pid {os.getpid()}): 15 in" in found["value"], found)
        result = doctor.report(user=65534)
        check("what others' processes have is unknown to a user",
              "some processes" in {entry["name"] for entry in result["unknown"]}, result["unknown"])


def conntrack(doctor):
    with Pair(20):
        check("without a rule nothing is tracked, and nothing said",
              not any(finding["id"].startswith("conntrack") for finding in doctor.report()["findings"]))
    subprocess.run(["nft", "add table inet t { chain c { type filter hook input priority 0; ct state new; }; }"],
                   check=True)
    base = "net__netfilter__nf_conntrack_"
    with Pair(40), sysctls(**{base + "events": 1, base + "tcp_loose": 0, base + "acct": 0}):
        tracked = int(read_sys("net/netfilter/nf_conntrack_count"))
        check("they are tracked", tracked >= 40, tracked)

        def fake(**values):
            return FakeProc(doctor, **{"sys__" + base + key: f"{value}\n"
                                              for key, value in values.items()})

        comes_and_goes(doctor, "conntrack-fill", "critical", fake(max=tracked), says=f"{tracked * 2}")
        comes_and_goes(doctor, "conntrack-fill", "warning", fake(max=tracked * 5 // 4))
        with open("/proc/net/stat/nf_conntrack", encoding="ascii") as file:
            lines = file.read().split("\n")
        columns = lines[1].split()
        columns[lines[0].split().index("drop")] = "0000001f"
        lines[1] = " ".join(columns)
        comes_and_goes(doctor, "conntrack-drops", "warning",
                       FakeProc(doctor, net__stat__nf_conntrack="\n".join(lines)), says="drop 31")
        comes_and_goes(doctor, "conntrack-buckets", "advice", fake(buckets=1024))
        comes_and_goes(doctor, "conntrack-timeout-long", "advice", fake(max=tracked * 2), says="5 d")
        comes_and_goes(doctor, "conntrack-timeout-short", "warning",
                       sysctls(**{base + "tcp_timeout_established": 600}), says="established = 8475")
        comes_and_goes(doctor, "conntrack-events", "warning", sysctls(**{base + "events": 0}))
        comes_and_goes(doctor, "conntrack-events", "advice", sysctls(**{base + "events": 2}))
        comes_and_goes(doctor, "conntrack-loose", "advice", sysctls(**{base + "tcp_loose": 1}))
        policy = os.path.join(doctor.folder, "idle.yaml")
        with open(policy, "w", encoding="ascii") as file:
            file.write("version: 1\nmode: observe\npolicies:\n  web:\n    match: {ports: [80]}\n    limits:\n"
                       "      idle: {idle: 100, action: observe, expire: 10m}\n")
        doctor.config = policy
        check("the policy loads", subprocess.run([doctor.program, "--config", policy, "check"],
                                                 check=False, stdout=subprocess.DEVNULL).returncode == 0)
        with sysctls(**{base + "acct": 1}):
            comes_and_goes(doctor, "conntrack-accounting", "warning", sysctls(**{base + "acct": 0}))
        doctor.config = "none"
        check("without such a limit nobody needs counts", not doctor.find("conntrack-accounting"))
    subprocess.run(["nft", "delete table inet t"], check=True)


@contextlib.contextmanager
def file_below(root, path, text):
    full = root + path
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        yield
    finally:
        os.unlink(full)


def files(doctor):
    root = doctor.root
    old = "# from a guide\nnet.ipv4.tcp_tw_recycle = 1\n"
    for path in ("/etc/sysctl.conf", "/etc/sysctl.d/a.conf", "/run/sysctl.d/a.conf",
                 "/usr/local/lib/sysctl.d/a.conf", "/usr/lib/sysctl.d/a.conf"):
        comes_and_goes(doctor, "sysctl-vanished", "advice", file_below(root, path, old),
                       says=f"{path}:2: net.ipv4.tcp_tw_recycle = 1")
    comes_and_goes(doctor, "sysctl-harmful", "warning",
                   file_below(root, "/etc/sysctl.d/90.conf", f"net/ipv4/tcp_max_tw_buckets={few_buckets()}\n"),
                   says=f"/etc/sysctl.d/90.conf:1: net.ipv4.tcp_max_tw_buckets = {few_buckets()}")
    harm = "net.ipv4.tcp_syncookies = 0\n"
    with file_below(root, "/usr/lib/sysctl.d/50.conf", harm):
        check("a harmful line is found", doctor.find("sysctl-harmful"))
        with file_below(root, "/etc/sysctl.d/40.conf", "net.ipv4.tcp_syncookies = 1\n"):
            check("an earlier name does not overrule it", doctor.find("sysctl-harmful"))
        with file_below(root, "/etc/sysctl.d/60.conf", "-net.ipv4.tcp_syncookies = 1\n"):
            check("a later name overrules it", not doctor.find("sysctl-harmful"))
        with file_below(root, "/run/sysctl.d/50.conf", "# empty\n"):
            check("the same name in a directory before hides it", not doctor.find("sysctl-harmful"))
        os.symlink("/dev/null", root + "/etc/sysctl.d/50.conf")
        check("a link to /dev/null hides it", not doctor.find("sysctl-harmful"))
        os.unlink(root + "/etc/sysctl.d/50.conf")
    with file_below(root, "/etc/sysctl.conf", harm):
        os.symlink("/etc/sysctl.conf", root + "/etc/sysctl.d/99-sysctl.conf")
        found = [finding["value"] for finding in doctor.report()["findings"]
                 if finding["id"] == "sysctl-harmful"]
        check("a link to sysctl.conf leads below the root, and is read once",
              found == ["/etc/sysctl.conf:1: net.ipv4.tcp_syncookies = 0"], found)
        os.unlink(root + "/etc/sysctl.d/99-sysctl.conf")
    os.makedirs(root + "/etc/sysctl.d/x.conf")
    check("what cannot be read is unknown", "/etc/sysctl.d/x.conf" in {
        entry["name"] for entry in doctor.report()["unknown"]})
    os.rmdir(root + "/etc/sysctl.d/x.conf")
    own_files(doctor)


def own_files(doctor):
    """As on the host itself: its own files, and keys that a namespace does not show."""
    folder = os.path.join(doctor.folder, "etc")
    os.makedirs(folder)
    hidden = [path for path in ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
              if os.path.isdir(path)]
    for path in hidden:
        mount(folder, path)
    host = {"sys__net__core__netdev_max_backlog": "1000\n"}
    with file_below(folder, "/local.conf", "net.core.netdev_max_backlog = 5000\nnet.ipv4.tcp_no_such = 1\n"):
        path = hidden[0] + "/local.conf"
        comes_and_goes(doctor, "sysctl-not-applied", "advice", FakeProc(doctor, **host),
                       says=f"{path}:1: net.core.netdev_max_backlog = 5000", keywords={"root": False})
        comes_and_goes(doctor, "sysctl-vanished", "advice", FakeProc(doctor, **host),
                       says=f"{path}:2: net.ipv4.tcp_no_such", keywords={"root": False})
        host["sys__net__core__netdev_max_backlog"] = "5000\n"
        with FakeProc(doctor, **host):
            check("an applied line is no finding", not doctor.find("sysctl-not-applied", root=False))
    for path in hidden:
        LIBC.umount2(path.encode(), MNT_DETACH)


def fragment(doctor):
    """What --sysctl prints heals what it was printed for, and nothing is written without it."""
    path = os.path.join(doctor.folder, "fragment.conf")
    with sysctls(net__ipv4__tcp_syncookies=0, net__ipv4__tcp_max_tw_buckets=few_buckets(),
                 net__ipv4__tcp_fin_timeout=5):
        result = doctor.run("--sysctl")
        check("--sysctl exits with 1 for findings", result.returncode == 1, result.stderr)
        check("nothing was changed", read_sys("net/ipv4/tcp_syncookies") == "0")
        keys = re.findall(r"^(net\S+) = ", result.stdout, re.M)
        check("a key is set once", len(keys) == len(set(keys)) >= 3, keys)
        with open(path, "w", encoding="utf-8") as file:
            file.write(result.stdout)
        applied = subprocess.run(["sysctl", "-p", path], capture_output=True, text=True, check=False)
        check("sysctl takes it", applied.returncode == 0, applied.stderr)
        left = {finding["id"] for finding in doctor.report()["findings"]}
        check("and what it was for is gone",
              not left & {"syncookies-off", "tw-buckets-low", "fin-timeout-low"}, left)
        critical = doctor.run("--at-least", "critical")
        check("--at-least shows and counts the graver only",
              critical.returncode == 0 and "  why" not in critical.stdout, critical.stdout)
    for options in (["--over", "1"], ["--over", "500ms"], ["--at-least", "x"], ["--json", "--sysctl"]):
        check(f"{' '.join(options)} is a usage error", doctor.run(*options).returncode == 2)
    doctor.root += "/none"
    check("a root that is not there is an error", doctor.run().returncode == 2)


def documented(path):
    with open(path, encoding="utf-8") as file:
        ids = set(re.findall(r"^## ([a-z0-9-]+)$", file.read(), re.M))
    check("every finding of the docs was made and seen", ids == seen, ids ^ seen)


def inside(program, docs):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
    for command in ("link set lo up", "link add d0 type veth peer name d1", "link set d0 arp off",
                    f"addr add {NET}.1/24 dev d0", "link set d0 up", "link set d1 up"):
        subprocess.run(["ip", *command.split()], check=True)
    with tempfile.TemporaryDirectory(prefix="tcpguard-doctor.") as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(program, folder)
        doctor = Doctor(copy, folder)
        report = doctor.report()
        check("a quiet namespace has no findings", report["findings"] == [], report)
        for part in (queues, machine, ends, ports, stale, conntrack, files, fragment):
            part(doctor)
    documented(docs)
    print(f"1..{count}")
    return 1 if failed else 0


def main():
    program, docs = sys.argv[1:3]
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "sysctl"))):
        print("1..0 # SKIP needs root, ip, nft and sysctl")
        return 0
    if sys.argv[3:]:
        return inside(program, docs)
    # Taken too long, or the whole run ended: what was made goes all the same.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    name = f"tcpguard-doctor-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        return subprocess.run(["ip", "netns", "exec", name, sys.executable, __file__, program, docs, "inside"],
                              check=False).returncode
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


sys.exit(main())
