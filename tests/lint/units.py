#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd understands every unit, also those of the docs, and finds each service well shut in."""
import os
import re
import subprocess
import tempfile

import tap

# In tenths, as systemd-analyze takes it: 1.5 at most.
EXPOSURE_MAX = 15


def analyze(*words):
    done = subprocess.run(["systemd-analyze", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout.splitlines()


def units():
    for path in tap.files(".service", ".socket"):
        yield os.path.basename(path), tap.read(path)
    examples = re.findall(r"^```ini\n(\[Unit\]\n.*?)^```", tap.read("docs/events.md"), re.S | re.M)
    for i, text in enumerate(examples):
        yield f"example-{i}.service", text


def main():
    with tempfile.TemporaryDirectory() as folder:
        found = list(units())
        for name, text in found:
            # Nothing of ours is installed here.
            text = re.sub(r"^(Exec\w+=)/\S*", r"\1/bin/true", text, flags=re.M)
            text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as unit:
                unit.write(text)
        tap.check("there are units", [] if len(found) > 3 else ["too few were found"])
        for name, _ in found:
            path = os.path.join(folder, name)
            _, said = analyze("verify", "--man=no", path)
            tap.check(f"systemd understands {name}", [line for line in said if name in line])
            if name.startswith("tcpguard") and name.endswith(".service"):
                status, said = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", path)
                tap.check(f"{name} is exposed at most {EXPOSURE_MAX / 10}", said[-1:] if status else [])
    tap.done()


main()
