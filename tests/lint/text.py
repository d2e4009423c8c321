#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the text of the tree looks, as far as a program can tell."""
import re

import tap

# Strings and characters first, so that "http://" is no comment.
TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
BANNED = re.compile(r"\b(atoi|atol|strtok|sprintf|vsprintf|alloca|gets)\s*\(")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def without_strings_and_comments(text):
    return TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def main():
    code = [(p, tap.read(p)) for p in tap.files(".c", ".h")]
    scripts = [(p, tap.read(p)) for p in tap.files(".sh", ".py", "meson.build")]
    every = [(p, tap.read(p)) for p in tap.files(
        ".c", ".h", ".sh", ".py", ".md", ".yaml", ".service", "meson.build")]

    tap.check("comments are /* */", (
        f"{path}:{line_of(text, m.start())}: {m.group(0).strip()}"
        for path, text in code for m in TOKEN.finditer(text) if m.group(0).startswith("//")))
    # The words are put together here, so that this file is not a finding of its own.
    todo = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!\s*\(#\d+\))")
    tap.check("what is left to do has an issue's number", (
        f"{path}:{line_of(text, m.start())}: {m.group(0)}"
        for path, text in every for m in todo.finditer(text)))
    tap.check("C files begin with the licence", (
        path for path, text in code if text.split("\n", 1)[0] != f"/* {SPDX} */"))
    tap.check("scripts name the licence", (
        path for path, text in scripts
        if path.endswith((".sh", ".py")) and SPDX not in "\n".join(text.split("\n")[:3])))
    tap.check("no tab in YAML", (
        f"{path}:{n}" for path in tap.files(".yaml", ".yml") if "/bad" not in path
        for n, line in enumerate(tap.read(path).split("\n"), 1) if "\t" in line))
    tap.check("no function that C is better off without", (
        f"{path}:{line_of(text, m.start())}: {m.group(1)}"
        for path, text in code
        for m in BANNED.finditer(without_strings_and_comments(text))))
    tap.check("no blank at the end of a line", (
        f"{path}:{n}" for path, text in code + scripts
        for n, line in enumerate(text.split("\n"), 1) if line != line.rstrip()))
    tap.check("headers are guarded by their path", (
        path for path, text in code if path.endswith(".h")
        and not re.search(r"^#ifndef " + guard(path) + r"\n#define " + guard(path) + r"$",
                          text, re.M)))
    said = {m.group(1): path for path, text in code if path.startswith("src/daemon/")
            for m in re.finditer(r'"([0-9a-f]{32})"', text)}
    known = set(re.findall(r"^-- ([0-9a-f]{32})$", tap.read("systemd/tcpguard.catalog"), re.M))
    tap.check("the catalog has every MESSAGE_ID, and no other", (
        [f"{said[name]}: {name} is not in the catalog" for name in sorted(set(said) - known)] +
        [f"{name} of the catalog is never sent" for name in sorted(known - set(said))] or
        ([] if said else ["no MESSAGE_ID is found"])))
    tap.done()


def guard(path):
    path = re.sub(r"^(src|include)/", "", path)
    return re.sub(r"[^A-Z0-9]", "_", path.upper())


main()
