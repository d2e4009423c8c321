#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: json_keys.py DOCS VERB <OUTPUT: is it one JSON object, or one on each line, each with schema 1, and does the
page that docs/json.md names for the verb have every member of it? Exit status 0 if so; else says what is not."""
import json
import pathlib
import re
import sys

SECTION = re.compile(r"^#+ (.*)$", re.M)
LINK = re.compile(r"\]\(([a-z.-]*)(?:#([a-z-]+))?\)")


def section(text, anchor):
    """From its heading to the next one."""
    for found in SECTION.finditer(text):
        if found.group(1).lower().replace(" ", "-") == anchor:
            end = SECTION.search(text, found.end())
            return text[found.end():end.start() if end else len(text)]
    raise SystemExit(f"docs/json.md has no section '{anchor}'")


def described(docs, verb):
    """The words in backticks of what the row of the verb leads to."""
    index = (docs / "json.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{verb}` \| (.*) \|$", index, re.M)
    if not row:
        raise SystemExit(f"docs/json.md has no row for {verb}")
    text = ""
    for page, anchor in LINK.findall(row.group(1)):
        whole = (docs / page).read_text(encoding="utf-8") if page else index
        text += section(whole, anchor) if anchor else whole
    # A section may lead on.
    for _, anchor in LINK.findall(text):
        if anchor == "a-ban":
            text += section(index, anchor)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {word for span in re.findall(r"`([^`]+)`", text) for word in re.split(r"[^a-z0-9_-]+", span)}


def keys(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def objects(text):
    """One for all, or one for each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def main():
    docs, verb = pathlib.Path(sys.argv[1]), sys.argv[2]
    try:
        told = objects(sys.stdin.read())
    except ValueError as error:
        raise SystemExit(f"{verb}: no JSON: {error}") from error
    if not told:
        raise SystemExit(f"{verb}: nothing came")
    for one in told:
        if not isinstance(one, dict) or one.get("schema") != 1:
            raise SystemExit(f"{verb}: no schema: {json.dumps(one)[:200]}")
    missing = sorted({key for one in told for key in keys(one)} - described(docs, verb) - {"schema"})
    if missing:
        raise SystemExit(f"{verb}: not described: {' '.join(missing)}")


main()
