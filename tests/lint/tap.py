# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lint tests share: TAP, and the tree's own files."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_count = 0
_failed = 0


def check(name, findings):
    """One case: passes when there are no findings, else prints each."""
    global _count, _failed
    _count += 1
    findings = list(findings)
    if findings:
        _failed += 1
    print(f"{'not ok' if findings else 'ok'} {_count} - {name}")
    for finding in findings[:50]:
        for line in str(finding).splitlines():
            print(f"#   {line}")
    if len(findings) > 50:
        print(f"#   and {len(findings) - 50} more")


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def done():
    print(f"1..{_count}")
    sys.exit(1 if _failed else 0)


def files(*endings):
    """Paths of the tree, relative to its top, without build directories and what starts with a dot."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        top = folder == ROOT
        folders[:] = sorted(
            f for f in folders
            if not f.startswith(".") and f != "__pycache__" and not (top and f.startswith("build")))
        for name in sorted(names):
            if not endings or name.endswith(endings):
                found.append(os.path.relpath(os.path.join(folder, name), ROOT))
    return found


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()
