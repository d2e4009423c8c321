#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: readme.py TCPGUARD
The policies that README.md and docs/ show are ones that load."""
import os
import re
import subprocess
import sys
import tempfile

import tap

FENCE = re.compile(r"^```yaml\n(.*?)^```", re.S | re.M)


def main():
    tool = sys.argv[1]
    for path in ["README.md"]:
        blocks = FENCE.findall(tap.read(path))
        tap.check(f"{path} shows a policy", [] if blocks else ["there is no ```yaml block"])
        for number, block in enumerate(blocks, 1):
            with tempfile.TemporaryDirectory() as folder:
                name = os.path.join(folder, "tcpguard.yaml")
                with open(name, "w", encoding="utf-8") as file:
                    file.write(block)
                result = subprocess.run([tool, "check", name], capture_output=True, text=True,
                                        check=False)
            tap.check(f"{path}: policy {number} loads",
                      [] if result.returncode == 0 else [result.stdout + result.stderr])
    tap.done()


main()
