#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon and its CLI on a real kernel, in a network namespace of their own: start and end, exit
statuses, every verb, reload, restart, and the ways out. Arguments: tcpguardd and tcpguard."""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

NETNS = f"tcpguard-daemon-{os.getpid()}"
POLICY = """version: 1
mode: enforce
policies:
  web:
    match: {ports: [80, 443]}
    limits:
      open: {concurrent: 200, action: drop, expire: 10m}
"""
count = failed = 0


def check(name, condition, detail=""):
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {name}", flush=True)
    if not condition and detail:
        for line in str(detail).splitlines():
            print(f"# {line}")


def wait_until(condition, seconds=5):
    """Events that have no descriptor to wait for: asked again until they are there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        select.select([], [], [], 0.01)
    return False


class Lab:
    def __init__(self, daemon, cli):
        self.dir = tempfile.mkdtemp(prefix="tcpguard-test-")
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin)
        # Side by side, as they are installed: panic looks for the daemon beside the CLI.
        self.daemon = shutil.copy(daemon, self.bin)
        self.cli_path = shutil.copy(cli, self.bin)
        self.state = os.path.join(self.dir, "state")
        self.socket = os.path.join(self.dir, "run", "control.sock")
        self.policy = os.path.join(self.dir, "tcpguard.yaml")
        self.log = os.path.join(self.dir, "log")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.dir, "notify"))
        os.chmod(self.dir, 0o755)
        self.process = None

    def prepare(self):
        self.write(POLICY)
        subprocess.run(["ip", "netns", "add", NETNS], check=True)
        self.on("ip", "link", "set", "lo", "up")
        self.on("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        self.on("ip", "link", "set", "d0", "up")
        self.on("ip", "address", "add", "192.0.2.1/24", "dev", "d0")

    def finish(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        subprocess.run(["ip", "netns", "del", NETNS], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir)

    def write(self, text):
        with open(self.policy, "w", encoding="utf-8") as file:
            file.write(text)

    def on(self, *command, **options):
        return subprocess.run(["ip", "netns", "exec", NETNS, *command], capture_output=True, text=True,
                              timeout=30, check=False, **options)

    def cli(self, *words):
        return self.on(self.cli_path, "--socket", self.socket, "--config", self.policy, *words)

    def raw(self, line):
        """An answer as it comes, to a request that the CLI does not make."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(self.socket)
            client.sendall(line.encode() + b"\n")
            with client.makefile() as answer:
                return answer.read()

    def json(self, *words):
        return json.loads(self.cli(*words, "--json").stdout)

    def arguments(self, *more):
        return [self.daemon, "--config", self.policy, "--state-dir", self.state, "--socket", self.socket, *more]

    def drain_notify(self):
        self.notify.setblocking(False)
        try:
            while True:
                self.notify.recv(4096)
        except BlockingIOError:
            pass

    def await_notify(self, word, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.notify], [], [], end - time.monotonic())[0]:
                text = self.notify.recv(4096).decode()
                if word in text:
                    return text
        return None

    def start(self, *more, env=None):
        self.drain_notify()
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", NETNS, *self.arguments(*more)], stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": os.path.join(self.dir, "notify"), **(env or {})})
        return self.await_notify("READY=1") is not None

    def end(self, signo=signal.SIGTERM):
        self.process.send_signal(signo)
        return self.process.wait(timeout=10)

    def logged(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def elements(self):
        return self.on("nft", "list", "table", "inet", "tcpguard").stdout


def test_exit_statuses(lab):
    check("--help is 0", lab.on(lab.daemon, "--help").returncode == 0)
    check("--version is 0", lab.on(lab.cli_path, "--version").returncode == 0)
    check("an unknown option is 2", lab.on(lab.daemon, "--nonsense").returncode == 2)
    check("an operand is 2", lab.on(lab.daemon, "x").returncode == 2)
    check("an unknown log level is 2", lab.on(lab.daemon, "--log-level", "loud").returncode == 2)
    check("no verb is 2", lab.on(lab.cli_path).returncode == 2)
    check("an unknown verb is 2", lab.cli("nonsense").returncode == 2)
    for verb in "status list top ban unban check reload panic".split():
        check(f"{verb} --help is 0", lab.cli(verb, "--help").returncode == 0)
    for verb in (["status"], ["list"], ["top", "--from", "daemon"], ["ban", "203.0.113.1"], ["unban", "--all"], ["reload"]):
        result = lab.cli(*verb)
        check(f"{verb[0]} without a daemon is 3", result.returncode == 3, result)
    check("status --json without a daemon prints nothing", lab.cli("list", "--json").stdout == "")
    lab.write(POLICY.replace("concurrent", "concurent"))
    result = lab.on(*lab.arguments())
    check("a bad policy is 2 and named with its line", result.returncode == 2 and
          f"{lab.policy}:7:14" in result.stderr and "^" in result.stderr, result.stderr)
    lab.write(POLICY)
    result = lab.on("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                    *lab.arguments("--socket", "/tmp/nobody.sock"))
    check("no privilege is 3", result.returncode == 3 and "CAP_NET_ADMIN" in result.stderr, result)


def test_socketless(lab):
    """Bans matter more than who may ask for them."""
    result = lab.on(*lab.arguments("--socket", "/" + "x" * 200))
    check("a path that no socket can have is 2", result.returncode == 2 and "too long" in result.stderr, result)
    run = os.path.dirname(lab.socket)
    os.makedirs(run, exist_ok=True)
    with open(lab.socket, "w", encoding="utf-8") as file:
        file.write("not a socket")
    check("it starts where its socket cannot be", lab.start(), lab.logged())
    check("and says so", "degraded (control)" in lab.logged(), lab.logged())
    check("the table is there", "table inet tcpguard" in lab.elements())
    check("the manager is told", "degraded" in (lab.await_notify("STATUS=at work, ") or ""))
    with open(lab.socket, encoding="utf-8") as file:
        check("what stood there is left alone", file.read() == "not a socket")
    os.unlink(lab.socket)
    check("with the way free it answers", wait_until(lambda: lab.cli("status").returncode == 0, 15), lab.logged())
    status = lab.json("status")
    check("and is whole again", status["health"] == "ok" and "no longer degraded (control)" in lab.logged(), status)
    check("and takes bans", lab.cli("ban", "198.51.100.7").returncode == 0)
    check("and ends", lab.end() == 0 and not os.path.exists(lab.socket))
    os.rmdir(run)
    with open(run, "w", encoding="utf-8") as file:
        file.write("no directory")
    check("it starts where no directory can be", lab.start(), lab.logged())
    before = lab.logged().count("policy reloaded")
    lab.process.send_signal(signal.SIGHUP)
    check("it takes a new policy", wait_until(lambda: lab.logged().count("policy reloaded") > before), lab.logged())
    check("it ends without ever having one", lab.end() == 0, lab.logged())
    os.unlink(run)
    lab.on("nft", "flush", "ruleset")
    os.unlink(os.path.join(lab.state, "bans"))


def test_check(lab):
    result = lab.cli("check")
    check("check is 0 for a good policy", result.returncode == 0 and "ok:" in result.stdout, result)
    other = os.path.join(lab.dir, "other")
    with open(other, "w", encoding="utf-8") as file:
        file.write(POLICY.replace("drop", "dorp").replace("10m", "10x"))
    answer = lab.cli("check", other, "--json")
    errors = json.loads(answer.stdout)["errors"]
    check("check FILE is 1 and tells every error", answer.returncode == 1 and len(errors) == 2 and
          all(e["line"] == 7 and e["col"] > 1 and e["message"] for e in errors), answer)
    check("check of a missing file is 2", lab.cli("check", "/nonexistent").returncode == 2)


def test_start(lab):
    check("it says READY", lab.start(), lab.logged())
    status = lab.json("status")
    check("status is whole", status["schema"] == 1 and status["mode"] == "enforce" and
          status["health"] == "ok" and status["degraded"] == [] and
          status["policy"]["files"] == [lab.policy] and status["bans"]["active"] == 0 and
          {"received", "lost", "gaps", "resyncs"} <= set(status["events"]) and
          {"flows", "sources", "max_sources", "states", "conntrack", "uptime"} <= set(status), status)
    check("the first dump is done", wait_until(lambda: lab.json("status")["events"]["resyncs"] >= 1))
    check("status reads well", "health ok" in lab.cli("status").stdout)
    check("the table is there", "chain" in lab.elements())
    mode = os.stat(lab.socket).st_mode & 0o777
    check("the socket is for owner and group only", mode in (0o600, 0o660), oct(mode))


STATES = "syn-sent syn-recv established fin-wait close-wait last-ack time-wait close".split()
# What scripts may rely on, and of which type; a trailing "?" says that it may be null.
PROMISED = {
    "status": {"schema": int, "mode": str, "health": str, "degraded": list, "uptime": int, "policy.files": list,
               "policy.loaded": str, "events.received": int, "events.lost": int, "events.gaps": int,
               "events.resyncs": int, "flows": int, "sources": int, "max_sources": int, "bans.active": int,
               "bans.observed": int, "conntrack.count": int, "conntrack.max": int,
               **{f"states.{state}": int for state in STATES}},
    "ban": {"source": str, "action": str, "policy?": str, "limit?": str, "measure?": str, "measured": int,
            "threshold": int, "origin": str, "offence": int, "since": str, "expires_in": int, "enforced": bool,
            "packets": int, "bytes": int, "reason": str},
    "source": {"source": str, "policy": str, "total": int, "new_rate": int,
               **{f"states.{state}": int for state in STATES}},
}


def broken_promises(value, promised):
    broken = []
    for name, kind in promised.items():
        inner = value
        for key in name.rstrip("?").split("."):
            inner = inner.get(key, KeyError) if isinstance(inner, dict) else KeyError
        # type() and not isinstance(): true is an int for Python.
        if type(inner) is not kind and not (name.endswith("?") and inner is None):  # noqa: E721
            broken.append((name, inner))
    return broken


def test_json(lab):
    broken = broken_promises(lab.json("status"), PROMISED["status"])
    check("status --json keeps every promise", not broken, broken)
    stamp = lab.json("status")["policy"]["loaded"]
    check("times are RFC 3339", time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"), stamp)
    lab.cli("ban", "198.51.100.7", "--action", "rate-limit")
    lab.on("conntrack", "-I", "-p", "tcp", "-s", "198.51.100.9", "-d", "192.0.2.1", "--sport", "1025", "--dport", "80",
           "--state", "ESTABLISHED", "-u", "ASSURED", "-t", "60")
    check("a flow is counted", wait_until(lambda: lab.json("top")["sources"]))
    for verb, key, kind in (("list", "bans", "ban"), ("top", "sources", "source")):
        answer = lab.json(verb)
        broken = [broken_promises(one, PROMISED[kind]) for one in answer[key]]
        check(f"{verb} --json keeps every promise", len(broken) == 1 and not broken[0] and answer["schema"] == 1,
              (broken, answer))
    lab.on("conntrack", "-F")
    check("and is gone", wait_until(lambda: not lab.json("top")["sources"]))
    lab.cli("unban", "--all")


def test_ban(lab):
    result = lab.cli("ban", "198.51.100.7", "--for", "10m", "--reason", "loud\033[2J neighbour")
    check("ban is 0", result.returncode == 0, result)
    check("the kernel has it when ban returns", "198.51.100.7" in lab.elements())
    bans = lab.json("list")["bans"]
    check("list tells it", len(bans) == 1 and bans[0]["source"] == "198.51.100.7/32" and
          bans[0]["action"] == "drop" and bans[0]["origin"] == "operator" and bans[0]["enforced"] and
          590 <= bans[0]["expires_in"] <= 600 and bans[0]["packets"] == 0 and
          bans[0]["reason"] == "loud\033[2J neighbour", bans)
    check("nothing unescaped is printed", "\033" not in lab.cli("list").stdout + lab.logged())
    result = lab.cli("ban", "2001:db8:1::/48", "--action", "rate-limit", "--to", "5/1s")
    check("a rate-limit is 0", result.returncode == 0, result)
    result = lab.cli("ban", "198.51.100.64/26", "--action", "rate-limit")
    check("its rate may be left out", "rate-limit to 5/1s until" in result.stdout, result)
    result = lab.cli("unban", "198.51.100.65")
    check("an address lifts the ban of its network, by name",
          result.stdout == "198.51.100.64/26: rate-limit lifted\n", result)
    for source, why in (("127.0.0.1", "loopback"), ("192.0.2.0/24", "this host"), ("0.0.0.0/0", "never banned"),
                        ("fe80::1", "link-local")):
        result = lab.cli("ban", source)
        check(f"{source} is refused with the reason", result.returncode == 1 and why in result.stderr, result)
    for words in (["1.2.3"], ["1.2.3.4/33"], ["10.1.2.3/8"], ["203.0.113.1", "--for", "0s"],
                  ["203.0.113.1", "--for", "366d"], ["203.0.113.1", "--action", "dorp"],
                  ["203.0.113.1", "--to", "5"], ["203.0.113.1", "--to", "5/1s", "--action", "drop"],
                  ["203.0.113.1", "--reason", "x" * 96], []):
        result = lab.cli("ban", *words)
        check(f"ban {' '.join(words)[:40]} is 2", result.returncode == 2 and result.stderr, result)
    check("a protected address that comes up later lifts its ban",
          lab.cli("ban", "203.0.113.9").returncode == 0 and
          lab.on("ip", "address", "add", "203.0.113.9/32", "dev", "d0").returncode == 0 and
          wait_until(lambda: "203.0.113.9/32" not in [b["source"] for b in lab.json("list")["bans"]]) and
          lab.cli("ban", "203.0.113.9").returncode == 1)
    check("unban of a stranger is 1", lab.cli("unban", "203.0.113.77").returncode == 1)
    check("unban is 0 and the kernel lets go", lab.cli("unban", "198.51.100.7").returncode == 0 and
          "198.51.100.7" not in lab.elements())
    check("unban --all is 0", lab.cli("unban", "--all").returncode == 0 and not lab.json("list")["bans"])
    check("top is empty and whole", lab.json("top") == {"schema": 1, "from": "daemon", "note": None, "sort": "total",
                                                  "sources": []})


def test_reload(lab):
    lab.cli("ban", "198.51.100.8")
    lab.write(POLICY.replace("200", "2000000000000"))
    result = lab.cli("reload")
    check("a bad reload is 1, with the line", result.returncode == 1 and f"{lab.policy}:7:" in result.stderr, result)
    lab.drain_notify()
    lab.process.send_signal(signal.SIGHUP)
    check("SIGHUP with a bad policy is survived", lab.await_notify("READY=1") is not None)
    status = lab.json("status")
    check("the old policy stays and the ban, too", status["mode"] == "enforce" and status["bans"]["active"] == 1 and
          status["engine"]["reloads_failed"] == 2, status)
    lab.write(POLICY.replace("web:", "mail:").replace("mode: enforce", "mode: observe"))
    lab.drain_notify()
    result = lab.cli("reload")
    check("a good reload is 0", result.returncode == 0, result)
    text = lab.await_notify("RELOADING=1")
    check("the manager is told", text is not None and "MONOTONIC_USEC=" in text, text)
    check("the new policy is in force", lab.json("status")["mode"] == "observe" and "policy-mail" in lab.elements() and
          "policy-web" not in lab.elements())
    check("a ban by hand outlives a reload", "198.51.100.8" in lab.elements())
    lab.write(POLICY.replace("policies:", "defaults: {max-sources: 1024}\npolicies:"))
    result = lab.cli("reload")
    check("a size needs a restart, and it is said", result.returncode == 0 and "restart" in result.stdout, result)
    # IPv6, and no two that could be one interval: the longest message that there can be.
    with open(os.path.join(lab.dir, "allow"), "w", encoding="utf-8") as file:
        file.writelines(f"fc00::{i >> 15:x}:{i << 1 & 0xffff:x}\n" for i in range(1000000))
    lab.write(POLICY.replace("policies:", "lists: {most: {file: allow}}\nallow: [most]\npolicies:"))
    result = lab.cli("reload")
    check("the kernel takes the longest allow list that a policy can have", result.returncode == 0, result)
    lab.write(POLICY)
    check("back again", lab.cli("reload").returncode == 0)


def test_restart(lab):
    for i in range(1, 51):
        lab.cli("ban", f"198.51.100.{i}")
    before = lab.json("list")["bans"]
    lab.end(signal.SIGKILL)
    check("kill -9 leaves the bans in the kernel", lab.elements().count("198.51.100.") == 50)
    check("a killed daemon is 3", lab.cli("status").returncode == 3)
    check("it starts over the dead one's socket", lab.start(), lab.logged())
    after = lab.json("list")["bans"]
    check("all are adopted, none twice, none without an end", len(after) == 50 and
          {b["source"] for b in before} == {b["source"] for b in after} and
          all(0 < b["expires_in"] <= 3600 for b in after), after)
    second = lab.on(*lab.arguments())
    check("a second daemon is 4", second.returncode == 4 and "another" in second.stderr, second)
    other = lab.on(*lab.arguments("--socket", os.path.join(lab.dir, "other.sock")))
    check("with another socket too, because of the table", other.returncode == 4 and
          "owns" in other.stderr, other)
    check("the first is untouched", lab.json("status")["bans"]["active"] == 50)


def test_stranger(lab):
    os.chmod(os.path.dirname(lab.socket), 0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    result = lab.on(*nobody, lab.cli_path, "--socket", lab.socket, "status")
    check("nobody is refused by the file", result.returncode == 1 and "permission" in result.stderr, result)
    mode = os.stat(lab.socket).st_mode & 0o777
    os.chmod(lab.socket, 0o666)
    result = lab.on(*nobody, lab.cli_path, "--socket", lab.socket, "unban", "--all")
    check("and by the daemon", result.returncode == 1 and "denied" in result.stderr, result)
    os.chmod(lab.socket, mode)
    status = lab.json("status")
    check("which counts it and changes nothing", status["control"]["denied"] == 1 and status["bans"]["active"] == 50)


def test_panic(lab):
    result = lab.cli("panic")
    check("panic is 0", result.returncode == 0, result)
    status = lab.json("status")
    check("nothing is in force, and status says why", status["bans"]["active"] == 0 and
          status["health"] == "degraded" and status["mode"] == "observe" and
          any("panic" in reason for reason in status["degraded"]), status)
    check("the kernel holds none", "198.51.100." not in lab.elements())
    check("a ban is refused meanwhile", lab.cli("ban", "198.51.100.1").returncode == 1)
    lab.end()
    check("a restarted daemon stays in panic", lab.start() and lab.json("status")["health"] == "degraded" and
          lab.cli("ban", "198.51.100.1").returncode == 1)
    check("panic --off ends it", lab.cli("panic", "--off").returncode == 0 and
          lab.json("status")["health"] == "ok" and lab.cli("ban", "198.51.100.1").returncode == 0)
    os.rename(lab.state, lab.state + ".away")
    with open(lab.state, "w", encoding="utf-8"):
        pass
    result = lab.cli("panic")
    check("panic works without a state directory, and says what is missing", result.returncode == 0 and
          "a restart enforces again" in result.stderr, result)
    result = lab.cli("panic", "--off")
    check("and ends", result.returncode == 0 and lab.json("status")["health"] == "ok", result)
    os.unlink(lab.state)
    os.rename(lab.state + ".away", lab.state)
    os.symlink("/nonexistent", os.path.join(lab.state, "panic"))
    result = lab.cli("panic")
    check("a link of the marker's name is the marker", result.returncode == 0 and not result.stderr, result)
    check("and goes", lab.cli("panic", "--off").returncode == 0 and "panic" not in os.listdir(lab.state))
    check("a ban is taken again", lab.cli("ban", "198.51.100.1").returncode == 0)


def test_flags(lab):
    """What a program that speaks the protocol by itself may get wrong."""
    lab.cli("ban", "198.51.100.1")
    for line in ("unban all=false", "unban all=yes", "unban all=no source=198.51.100.1", "panic off=yes"):
        check(f"'{line}' is refused and lifts nothing", lab.raw(line).startswith("error code=2 ") and
              "198.51.100.1" in lab.elements())


def test_unreachable(lab):
    """A daemon that nobody can connect to is ended all the same."""
    lab.process.send_signal(signal.SIGSTOP)
    waiting = []
    try:
        while len(waiting) < 1000:
            waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            waiting[-1].connect(lab.socket)
    except BlockingIOError:
        pass
    check("the backlog is full", len(waiting) < 1000)
    result = lab.cli("status")
    check("status says that it hangs", result.returncode == 3 and "hangs" in result.stderr, result)
    result = lab.cli("panic", "--off", "--state-dir", lab.state)
    check("panic --off does not say that no daemon runs", result.returncode == 3 and "no daemon" not in result.stdout,
          result)
    result = lab.cli("panic", "--state-dir", lab.state)
    check("panic works with a full backlog", result.returncode == 0, result)
    lab.process.wait(timeout=5)
    for client in waiting:
        client.close()
    check("the table is gone", lab.on("nft", "list", "table", "inet", "tcpguard").returncode != 0)
    check("it starts again", lab.start() and lab.cli("panic", "--off").returncode == 0, lab.logged())
    lab.cli("ban", "198.51.100.1")
    os.unlink(lab.socket)
    result = lab.cli("panic", "--state-dir", lab.state)
    check("panic works when the socket was removed", result.returncode == 0, result)
    lab.process.wait(timeout=5)
    check("the ban is gone", "198.51.100.1" not in lab.elements())
    check("and it starts once more", lab.start() and lab.cli("panic", "--off").returncode == 0, lab.logged())
    places = [socket.socket(socket.AF_UNIX) for _ in range(64)]
    for client in places:
        client.connect(lab.socket)
    result = lab.cli("panic", "--state-dir", lab.state)
    check("panic works when all places are taken", result.returncode == 0, result)
    for client in places:
        client.close()
    lab.process.wait(timeout=5)
    check("and it starts yet again", lab.start() and lab.cli("panic", "--off").returncode == 0, lab.logged())


def test_hung(lab):
    lab.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    result = lab.cli("panic", "--state-dir", lab.state)
    took = time.monotonic() - begin
    check("panic works with a hung daemon", result.returncode == 0 and took < 3, (took, result))
    lab.process.wait(timeout=5)
    check("the table is gone", lab.on("nft", "list", "table", "inet", "tcpguard").returncode != 0)
    result = lab.cli("panic", "--state-dir", lab.state)
    check("panic works without one", result.returncode == 0, result)
    check("what starts now only observes", lab.start() and lab.json("status")["mode"] == "observe")
    lab.end()
    check("panic --off works without one", lab.cli("panic", "--off", "--state-dir", lab.state).returncode == 0)


def test_end(lab):
    check("it starts with --observe", lab.start("--observe") and lab.json("status")["mode"] == "observe")
    lab.cli("ban", "198.51.100.5")
    check("SIGTERM is 0", lab.end() == 0)
    check("the bans stay, and it says so", "198.51.100.5" in lab.elements() and "stay in force" in lab.logged())
    check("the socket is gone", not os.path.exists(lab.socket))


def test_plain(lab):
    lab.on("nft", "flush", "ruleset")
    check("it starts without owning the table", lab.start("--plain-table"))
    lab.cli("ban", "198.51.100.6")
    check("the ban is there", "198.51.100.6" in lab.elements())
    lab.on("nft", "flush", "ruleset")
    begin = time.monotonic()
    back = wait_until(lambda: "198.51.100.6" in lab.elements(), 2)
    took = time.monotonic() - begin
    check("a flushed table is back within half a second, with the ban", back and took < 0.5, (back, took))
    status = lab.json("status")
    check("the repair is counted", status["table"]["repairs"] >= 1 and status["health"] == "ok", status)
    lab.end()


def test_service(lab):
    """As the unit runs it: no uid 0, one capability, a watchdog."""
    lab.on("nft", "flush", "ruleset")
    for path in (lab.state, os.path.dirname(lab.socket)):
        os.makedirs(path, exist_ok=True)
        os.chown(path, 65534, 65534)
    lab.drain_notify()
    os.chmod(os.path.join(lab.dir, "notify"), 0o666)
    with open(lab.log, "a", encoding="utf-8") as log:
        lab.process = subprocess.Popen(
            ["ip", "netns", "exec", NETNS, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             "--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin", "--bounding-set=-all,+net_admin",
             "--no-new-privs", *lab.arguments()], stderr=log,
            env={**os.environ, "NOTIFY_SOCKET": os.path.join(lab.dir, "notify"), "WATCHDOG_USEC": "200000"})
    check("it runs with CAP_NET_ADMIN alone", lab.await_notify("READY=1") is not None, lab.logged()[-2000:])
    pings = [lab.await_notify("WATCHDOG=1", 1) for _ in range(3)]
    check("the watchdog is fed", all(pings), pings)
    check("and bans", lab.cli("ban", "198.51.100.9").returncode == 0)
    before = lab.on("cat", f"/proc/{lab.process.pid}/stat").stdout.split()
    lab.await_notify("STATUS=", 5)
    after = lab.on("cat", f"/proc/{lab.process.pid}/stat").stdout.split()
    ticks = int(after[13]) + int(after[14]) - int(before[13]) - int(before[14])
    check("idle it does next to nothing", ticks < 20, ticks)
    check("it ends cleanly", lab.end() == 0)


def main():
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "setpriv", "conntrack"))):
        print("1..0 # SKIP needs root, ip, nft, setpriv and conntrack")
        return 0
    # Taken too long, or the whole run ended: what was made goes all the same.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    lab = Lab(*sys.argv[1:3])
    try:
        lab.prepare()
        for test in (test_exit_statuses, test_socketless, test_check, test_start, test_json, test_ban, test_reload, test_restart, test_stranger,
                     test_panic, test_flags, test_unreachable, test_hung, test_end, test_plain, test_service):
            test(lab)
    finally:
        if failed:
            for line in lab.logged().splitlines()[-60:]:
                print(f"# log: {line}")
        lab.finish()
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
