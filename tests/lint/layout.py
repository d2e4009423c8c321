#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands at the top, and how long files are."""
import os

import tap

TOP = {"meson.build", "README.md", "LICENSE", "src", "include", "policies",
       "tests", "systemd", "docs"}
LINES_MAX = 600


def main():
    names = {n for n in os.listdir(tap.ROOT) if not n.startswith((".", "build"))}
    tap.check("nothing stands at the top that does not belong there", sorted(names - TOP))
    tap.check("everything that belongs there stands there", sorted(TOP - names))
    # Tests are tables and may be long.
    tap.check(f"no C file of the programs is longer than {LINES_MAX} lines", (
        f"{path}: {count}" for path in tap.files(".c", ".h")
        if path.startswith(("src/", "include/")) and (count := tap.read(path).count("\n")) > LINES_MAX))
    tap.done()


main()
