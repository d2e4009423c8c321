# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a daemon for its status again and again, until it is ended.

    ask.py SOCKET

One line for each answer: the step of the feed, and microseconds until the answer was whole.
"""
import socket
import sys
import time

PAUSE = 0.005


def ask(path):
    begin = time.monotonic()
    step = "?"
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(b"status\n")
        for line in peer.makefile():
            name, *fields = line.split()
            if name == "feed":
                step = dict(field.split("=") for field in fields)["step"]
            if name == "done":
                break
    return step, int((time.monotonic() - begin) * 1e6)


while True:
    print(*ask(sys.argv[1]), flush=True)
    time.sleep(PAUSE)
