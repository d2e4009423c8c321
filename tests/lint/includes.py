#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The include arrows of docs/architecture.md hold; kernel and YAML libraries stay in their folder."""
import os
import re

import tap

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
# Libraries and headers that these folders alone may know.
OWNED = {
    "libmnl/": ["netfilter"],
    "libnftnl/": ["netfilter"],
    "libnetfilter_conntrack/": ["netfilter"],
    "linux/netfilter": ["netfilter", "host"],
    "linux/inet_diag.h": ["host"],
    "yaml.h": ["policy"],
    "pcap": ["cli"],
}


def arrows():
    block = re.search(r"^```arrows\n(.*?)^```", tap.read("docs/architecture.md"), re.S | re.M)
    if not block:
        return None
    table = {}
    for line in block.group(1).splitlines():
        folder, _, may = line.partition(":")
        table[folder.strip()] = set(may.split()) | {folder.strip()}
    return table


def target(path, kind, name):
    """The folder an include leads to, or None for one of the system's."""
    if kind == "<":
        return "include" if name.startswith("tcpguard/") else None
    if os.path.exists(os.path.join(tap.ROOT, os.path.dirname(path), name)):
        return folder_of(os.path.normpath(os.path.join(os.path.dirname(path), name)))
    if os.path.exists(os.path.join(tap.ROOT, "src", name)):
        return name.split("/")[0]
    return f"nowhere ({name})"


def folder_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else parts[0]


def main():
    table = arrows()
    if not table:
        tap.check("docs/architecture.md has a block ```arrows", ["it has none"])
        tap.done()
    sources = [p for p in tap.files(".c", ".h") if p.startswith(("src/", "include/"))]
    folders = sorted({folder_of(p) for p in sources})
    tap.check("every folder of src has its arrows",
              [f"{f}: not in docs/architecture.md" for f in folders if f not in table])
    for folder in folders:
        findings, owned = [], []
        for path in (p for p in sources if folder_of(p) == folder):
            for kind, name in INCLUDE.findall(tap.read(path)):
                to = target(path, kind, name)
                if to and to not in table.get(folder, set()):
                    findings.append(f"{path}: includes {name}: {folder} -> {to}")
                for prefix, owners in OWNED.items():
                    if kind == "<" and name.startswith(prefix) and folder not in owners:
                        owned.append(f"{path}: {name} is for src/{' and src/'.join(owners)} alone")
        tap.check(f"{folder} includes only what it may", findings)
        tap.check(f"{folder} knows no library that is another's", owned)
    tap.done()


main()
