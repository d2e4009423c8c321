#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: tools.py format | shell
clang-format over every C file, shellcheck over every shell script."""
import os
import shutil
import subprocess
import sys

import tap


def run(name, paths, command):
    for path in paths:
        result = subprocess.run([*command, path], cwd=tap.ROOT, capture_output=True, text=True,
                                check=False)
        text = (result.stdout + result.stderr).strip()
        tap.check(f"{name} {path}", [] if result.returncode == 0 else [text or "failed"])
    tap.done()


def shell_scripts():
    found = tap.files(".sh", ".bash")
    if os.path.exists(os.path.join(tap.ROOT, ".ci/run")):
        found.append(".ci/run")
    return found


def main():
    if sys.argv[1] == "format":
        # The version decides, so the one of Debian 12 comes first.
        tool = shutil.which("clang-format-14") or shutil.which("clang-format")
        if not tool:
            tap.skip_all("needs clang-format")
        run("clang-format", tap.files(".c", ".h"), [tool, "--dry-run", "-Werror"])
    if not shutil.which("shellcheck"):
        tap.skip_all("needs shellcheck")
    run("shellcheck", shell_scripts(), ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR"])


main()
