#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: run.py TCPGUARD libpcap|none
Long work says how far it is, on a terminal and nowhere else, and leaves no trace of that there. What makes it long is
the other end of a pipe, which holds back the second half of a file until it is time for a first word."""
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import threading
import time

TCPGUARD, PCAP = os.path.realpath(sys.argv[1]), sys.argv[2] == "libpcap"
GOLDEN = pathlib.Path(__file__).resolve().parent.parent
TRACE = (GOLDEN / "simulate/lab.trace").read_bytes()
POLICY = str(GOLDEN / "simulate/strict.yaml")
# The first word comes after half a second.
HELD_BACK = 0.8
PATIENCE = 60
CLEAR = "\033[K"
number = failed = 0


def check(name, condition, detail=""):
    global number, failed
    number += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {number} - {name}", flush=True)
    if not condition:
        print("\n".join(f"# {line!r}" for line in str(detail).split("\n")))


def feed(path, content):
    with open(path, "wb", buffering=0) as pipe:
        pipe.write(content[:len(content) // 2])
        time.sleep(HELD_BACK)
        pipe.write(content[len(content) // 2:])


def drain(fd, process):
    """All that is written to the terminal until the program has ended."""
    text, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.05)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            text += os.read(fd, 65536)
        except OSError:
            break
    return text.decode()


def run(*words, fifo=None, content=b"", out_too=False, term="xterm"):
    """stdout and what a terminal got that is stderr, and stdout, too, if out_too says so."""
    master, slave = pty.openpty()
    if fifo:
        os.mkfifo(fifo)
        threading.Thread(target=feed, args=(fifo, content), daemon=True).start()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([TCPGUARD, *words], stdin=subprocess.DEVNULL, stdout=slave if out_too else out,
                                   stderr=slave, env={**os.environ, "TERM": term})
        os.close(slave)
        terminal = drain(master, process)
        process.wait(PATIENCE)
        out.seek(0)
        printed = out.read().decode()
    os.close(master)
    if fifo:
        os.unlink(fifo)
    return printed, terminal


def screen(terminal):
    """What is to be seen when it is over."""
    lines, line, at = [], "", 0
    for part in re.findall(r"\r|\n|\033\[K|[^\r\n\033]+", terminal):
        if part == "\r":
            at = 0
        elif part == "\n":
            lines, line, at = [*lines, line], "", 0
        elif part == CLEAR:
            line = line[:at]
        else:
            line, at = line[:at] + part + line[at + len(part):], at + len(part)
    return [*lines, line] if line else lines


def plain(*words):
    done = subprocess.run([TCPGUARD, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={**os.environ, "TERM": "xterm"})
    return done.stdout, done.stderr


def steady(text):
    """Without what is another time at each run."""
    return re.sub(r"replayed at [0-9]+ events/s", "", text)


def main():
    with tempfile.TemporaryDirectory() as folder:
        trace, fifo = f"{folder}/whole.trace", f"{folder}/pipe"
        pathlib.Path(trace).write_bytes(TRACE)
        simulate = ["simulate", "--policy", POLICY]
        wanted, silent = plain(*simulate, trace)
        check("into a pipe: nothing is said", silent == "" and wanted != "", silent)
        printed, terminal = run(*simulate, fifo, fifo=fifo, content=TRACE)
        check("simulate says how far it is", re.search(r"\r[0-9]+ events\033\[K", terminal), terminal)
        check("and nothing of that is left", screen(terminal) == [], terminal)
        check("what it prints is the same", steady(printed) == steady(wanted), printed)
        _, terminal = run(*simulate, fifo, fifo=fifo, content=TRACE, out_too=True)
        check("on the same terminal, too", [steady(line) for line in screen(terminal)] == steady(wanted).splitlines(),
              terminal)
        _, terminal = run(*simulate, fifo, fifo=fifo, content=TRACE[:-1])
        check("a complaint has a line of its own", "events" in terminal and
              [line.split(":")[0] for line in screen(terminal)] == ["tcpguard"], terminal)
        _, terminal = run(*simulate, fifo, fifo=fifo, content=TRACE, term="dumb")
        check("a terminal that cannot clear a line gets none", terminal == "", terminal)
        _, terminal = run("--config", POLICY, "suggest", fifo, fifo=fifo, content=TRACE)
        check("suggest", re.search(r"\r[0-9]+ events\033\[K", terminal) and screen(terminal) == [], terminal)
        printed, terminal = run("--config", f"{folder}/none.yaml", "doctor", "--over", "2s", "--json")
        check("doctor --over", "\rcounting: 0 of 2 s" in terminal and "\rcounting: 1 of 2 s" in terminal and
              screen(terminal) == [], terminal)
        check("its JSON is whole", json.loads(printed)["schema"] == 1, printed)
        if PCAP:
            capture = (GOLDEN / "import/life.pcap").read_bytes()
            printed, terminal = run("import", fifo, "--output", f"{folder}/x.trace", fifo=fifo, content=capture)
            check("import", re.search(r"\r[0-9]+ packets, [0-9]+ events\033\[K", terminal) and screen(terminal) == [],
                  terminal)
            check("and its summary", re.match(r"[0-9]+ events in ", printed), printed)
    print(f"1..{number}")
    raise SystemExit(1 if failed else 0)


main()
