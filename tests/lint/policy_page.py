#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: policy_page.py TCPGUARD
tcpguard.yaml(5) has every key that the policy's reader knows, as a term of the section of its mapping, and its example
loads."""
import os
import re
import subprocess
import sys
import tempfile

import tap

PAGE = "docs/tcpguard.yaml.5.scd"
# The reader hands an array of words to schema_keys() for every mapping of the language.
KEYS = re.compile(r"(\w*keys)\[(?:\w+)?\] = \{([^}]*)\}")
TERM = re.compile(r"^(\S.*)\n\t", re.M)
SECTION = re.compile(r"^# (.*)$", re.M)
EXAMPLE = re.compile(r"^```\n(.*?)^```", re.S | re.M)


def terms_of(page):
    """What a section explains, by its name: the bold words of lines with an indented one below."""
    parts = SECTION.split(page)[1:]
    return {name: {word for line in TERM.findall(text) for word in re.findall(r"\*([^*]+)\*", line)}
            for name, text in zip(parts[::2], parts[1::2])}


def lacking(sections, keys):
    """Of the section that has most of them, what it does not have."""
    name, terms = max(sections.items(), key=lambda section: len(section[1] & set(keys)))
    return [f"{PAGE}: {name} has no term *{key}*" for key in keys if key not in terms]


def main():
    page = tap.read(PAGE)
    sections = terms_of(page)
    arrays = 0
    for path in tap.files(".c"):
        if not path.startswith("src/policy/"):
            continue
        for _, words in KEYS.findall(tap.read(path)):
            arrays += 1
            keys = re.findall(r'"([^"]+)"', words)
            tap.check(f"{path}: {', '.join(keys[:3])} …", lacking(sections, keys))
    # Fewer means that the reader's arrays are no longer found, and nothing was looked at.
    tap.check("the reader's keys are found", [] if arrays >= 9 else [f"only {arrays} arrays"])
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "tcpguard.yaml")
        with open(name, "w", encoding="utf-8") as file:
            file.write(EXAMPLE.search(page).group(1))
        result = subprocess.run([sys.argv[1], "check", name], capture_output=True, text=True,
                                check=False)
    tap.check("the example loads",
              [] if result.returncode == 0 else [result.stdout + result.stderr])
    tap.done()


main()
