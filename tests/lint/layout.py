#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands at the top, and how long files are."""
import os

import tap

# meson before 1.1 (Debian 12 has 1.0) knows its options by the old name only.
TOP = {"meson.build", "meson.options", "meson_options.txt", "README.md", "LICENSE", "src", "include", "policies",
       "tests", "systemd", "docs"}
NEEDED = TOP - {"meson.options", "meson_options.txt"}
LINES_MAX = 600


def main():
    names = {n for n in os.listdir(tap.ROOT) if not n.startswith((".", "build"))}
    tap.check("nothing stands at the top that does not belong there", sorted(names - TOP))
    tap.check("everything that belongs there stands there", sorted(NEEDED - names))
    tap.check(f"no C file is longer than {LINES_MAX} lines", (
        f"{path}: {count}" for path in tap.files(".c", ".h")
        if (count := tap.read(path).count("\n")) > LINES_MAX))
    tap.done()


main()
