#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: symbols.py LIST LIBRARY [LIBRARY BELOW IT…]
What a library needs from outside stays within a committed list."""
import re
import shutil
import subprocess
import sys

import tap

# What compilers and hardening put in by themselves.
COMPILER = {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail", "__assert_fail"}


def nm(option, library):
    text = subprocess.run(["nm", option, "--format=posix", library], check=True,
                          capture_output=True, text=True).stdout
    return {line.split()[0] for line in text.splitlines() if line and not line.endswith(":")}


def main():
    listing, library, *below = sys.argv[1:]
    if not shutil.which("nm"):
        tap.skip_all("needs nm (binutils)")
    with open(listing, encoding="utf-8") as file:
        words = (line.split("#")[0].strip() for line in file)
        allowed = {word for word in words if word}
    missing = nm("-u", library)
    if any(s.startswith(("__asan_", "__ubsan_", "__tsan_", "__msan_", "__sanitizer_"))
           for s in missing):
        tap.skip_all("a sanitizer adds symbols of its own")
    for path in [library, *below]:
        missing -= nm("--defined-only", path)
    # _FORTIFY_SOURCE: __memcpy_chk is memcpy.
    plain = {re.sub(r"^__(\w+)_chk$", r"\1", s) for s in missing - COMPILER}
    plain = {re.sub(r"^__isoc\d+_", "", s) for s in plain}
    name = library.rsplit("/", 1)[-1]
    tap.check(f"{name} needs only what {listing.rsplit('/', 1)[-1]} allows",
              sorted(f"{s} is not allowed" for s in plain - allowed))
    tap.done()


main()
