#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: top_pty.py SCENARIO COMMAND…: runs `tcpguard top` on a terminal of its own, of 80 by 24, and types, resizes
or sends signals. Exit status 0 if the scenario held. What is awaited is awaited, with a bound."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

PATIENCE = float(os.environ.get("LAB_PATIENCE", "20"))
ENTER, LEAVE = b"\033[?1049h", b"\033[?1049l"
SHOW_CURSOR = b"\033[?25h"


class Terminal:
    def __init__(self, command, environment=None, width=80, height=24):
        self.master, self.slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        env = {**os.environ, "TERM": "xterm", **(environment or {})}
        env.pop("NO_COLOR", None) if "NO_COLOR" not in (environment or {}) else None
        # A session with this as its terminal: else nothing is a foreground job.
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
                                        preexec_fn=self.take_over)  # noqa: PLW1509

    def take_over(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, width, height):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def pump(self, seconds=0.05):
        if select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65536)

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.pump()
            if time.monotonic() > end:
                print(f"in vain: {what}; {self.output[-1500:]!r}")
                raise SystemExit(1)

    def shows(self, text, since=0):
        self.until(f"{text!r}", lambda: re.search(text, self.output[since:]))

    def type(self, keys):
        mark = len(self.output)
        os.write(self.master, keys)
        return mark

    def signal(self, number):
        # The command itself, of which this is the parent: on() has become it.
        self.process.send_signal(number)

    def ended(self):
        self.until("an end", lambda: self.process.poll() is not None)
        while select.select([self.master], [], [], 0)[0]:
            self.pump(0)
        return self.process.returncode

    def is_restored(self):
        return (termios.tcgetattr(self.slave) == self.before and self.output.rfind(LEAVE) > self.output.rfind(ENTER)
                and SHOW_CURSOR in self.output)

    def widest(self, since=0):
        frame = re.sub(rb"\033\[[0-9;?]*[A-Za-z]", b"", self.output[since:].replace(b"\033[", b"\n\033["))
        return max(len(line.rstrip(b"\r")) for line in frame.split(b"\n"))


def expect(condition, what, terminal):
    if not condition:
        print(f"not so: {what}; {terminal.output[-1500:]!r}")
        raise SystemExit(1)


def begin(command, **more):
    terminal = Terminal(command, **more)
    terminal.shows(rb"q quit")
    expect(ENTER in terminal.output, "the other screen", terminal)
    mode = termios.tcgetattr(terminal.slave)[3]
    expect(not mode & (termios.ICANON | termios.ECHO), "keys are taken one by one", terminal)
    return terminal


def leave(terminal, status=0):
    expect(terminal.ended() == status, f"status {status}, not {terminal.process.returncode}", terminal)
    expect(terminal.is_restored(), "the terminal is as it was", terminal)


def quits(command):
    terminal = begin(command)
    terminal.type(b"q")
    leave(terminal)


def interrupt(command):
    """^C, typed: the terminal makes the signal."""
    terminal = begin(command)
    terminal.type(b"\x03")
    leave(terminal, -signal.SIGINT)


def terminate(command):
    terminal = begin(command)
    terminal.signal(signal.SIGTERM)
    leave(terminal, -signal.SIGTERM)


def hangup(command):
    terminal = begin(command)
    terminal.signal(signal.SIGHUP)
    leave(terminal, -signal.SIGHUP)


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def stop(command):
    """Stopped and continued: the shell has its terminal back meanwhile."""
    terminal = begin(command)
    terminal.signal(signal.SIGTSTP)
    terminal.until("a stop", lambda: state_of(terminal.process.pid) == "T")
    while select.select([terminal.master], [], [], 0)[0]:
        terminal.pump(0)
    expect(terminal.is_restored(), "the terminal is as it was while it is stopped", terminal)
    mark = len(terminal.output)
    terminal.signal(signal.SIGCONT)
    terminal.shows(rb"q quit", mark)
    expect(ENTER in terminal.output[mark:], "the other screen again", terminal)
    terminal.type(b"q")
    leave(terminal)


def resize(command):
    """A frame of the new size at once, not when the next one is due."""
    terminal = begin([*command, "--every", "1h"])
    expect(b"\033[24;1H" in terminal.output, "keys in the last line", terminal)
    expect(terminal.widest() <= 80, f"80 columns, not {terminal.widest()}", terminal)
    mark = len(terminal.output)
    terminal.resize(50, 12)
    terminal.signal(signal.SIGWINCH)
    terminal.shows(rb"\033\[12;1H", mark)
    expect(terminal.widest(mark) <= 50, f"50 columns, not {terminal.widest(mark)}", terminal)
    terminal.type(b"q")
    leave(terminal)


def keys(command):
    """Arrows and letters choose the column, in both dialects; unknown keys change nothing."""
    terminal = begin([*command, "--every", "1h"])
    terminal.shows(rb">TOTAL")
    for typed, marked in ((b"\033[C", rb">HALF"), (b"\033OC", rb">ESTAB"), (b"\033[D", rb">HALF"),
                          (b"n", rb">NEW"), (b"\033[C", rb">TOTAL"), (b"w", rb">TIME-W"), (b"t", rb">TOTAL")):
        terminal.shows(marked, terminal.type(typed))
    mark = terminal.type(b"xyz\033[5~")
    terminal.shows(rb">TOTAL", terminal.type(b" "))
    expect(not re.search(rb">[A-SU-Z]", terminal.output[mark:]), "unknown keys do nothing", terminal)
    terminal.type(b"q")
    leave(terminal)


def colors(command):
    """Some on a terminal, none where NO_COLOR says so."""
    color = rb"\033\[[0-9;]*m"
    terminal = begin(command)
    expect(re.search(color, terminal.output), "colours", terminal)
    terminal.type(b"q")
    leave(terminal)
    terminal = begin(command, environment={"NO_COLOR": "1"})
    expect(not re.search(color, terminal.output), "no colours", terminal)
    terminal.type(b"q")
    leave(terminal)


def banned(command):
    """What is banned is said, in red."""
    terminal = begin(command)
    terminal.shows(rb"\033\[1;31m203\.0\.113\.9|\033\[1;31m10\.78\.1\.1 [^\r]*drop")
    terminal.type(b"q")
    leave(terminal)


def named(command):
    """A name is behind its row or, where that is full, below it; never wider than the terminal."""
    terminal = begin(command)
    terminal.shows(rb"10\.78\.1\.1 [^(]*\(greedy\.example\)")
    mark = len(terminal.output)
    terminal.resize(60, 12)
    terminal.signal(signal.SIGWINCH)
    terminal.shows(rb"10\.78\.1\.1 [^(]*\n    \(greedy\.example\)", mark)
    expect(terminal.widest(mark) <= 60, f"60 columns, not {terminal.widest(mark)}", terminal)
    terminal.type(b"q")
    leave(terminal)


def shown(command):
    """Prints what a terminal of 80 columns gets of a verb that prints once."""
    terminal = Terminal(command)
    status = terminal.ended()
    sys.stdout.write(re.sub(r"\033\[[0-9;]*m", "", terminal.output.decode()).replace("\r\n", "\n"))
    raise SystemExit(status)


SCENARIOS = {"quit": quits, "interrupt": interrupt, "terminate": terminate, "hangup": hangup, "stop": stop,
             "resize": resize, "keys": keys, "colors": colors, "banned": banned, "named": named, "shown": shown}
SCENARIOS[sys.argv[1]](sys.argv[2:])
