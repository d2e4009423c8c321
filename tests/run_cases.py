#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the tests that meson knows, counts cases and not programs, and tells the count.

Called by run.sh after it has built. Pure suites run with gcc, clang and the sanitizers, netns
with gcc and the sanitizers, lint and the fuzzers once. A program in C of the netns suite gets a network namespace of its own."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

BUILDS = {"unit": ["gcc", "clang", "asan"], "codec": ["gcc", "clang", "asan"],
          "golden": ["gcc", "clang", "asan"], "lint": ["gcc"], "fuzz": ["fuzz"], "netns": ["gcc", "asan"]}
NOT_SANITIZED = {
    "sink",            # has generous bounds in time for 100,000 bans, which sanitizers do not keep
    "accept-systemd",  # the unit's sandbox has no room for a sanitizer
    "accept-cycles",   # does what accept-synproxy and accept-budget do, twenty times
}
RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\b\s*(.*))?", re.I)
SKIPPED = re.compile(r"#\s*SKIP\b", re.I)
SKIP_STATUS = 77


class Outcome:
    def __init__(self, name):
        self.name = name
        self.passed, self.failed, self.skipped = [], [], []
        self.output = ""
        self.seconds = 0.0


def introspect(top, build):
    folder = os.path.join(top, f"build-{build}")
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        return []
    text = subprocess.run(["meson", "introspect", "--tests", folder], check=True,
                          capture_output=True, text=True).stdout
    return json.loads(text)


def read_tap(outcome, text, status):
    plan, seen = None, 0
    for line in text.splitlines():
        if match := PLAN.match(line):
            plan = int(match.group(1))
            if match.group(2) is not None or (plan == 0 and "SKIP" in line.upper()):
                outcome.skipped.append(match.group(2) or "no reason given")
        elif line.startswith("Bail out!"):
            outcome.failed.append(line)
        elif match := RESULT.match(line):
            seen += 1
            name = match.group(3)
            if SKIPPED.search(name):
                outcome.skipped.append(name)
            elif match.group(1):
                outcome.failed.append(name)
            else:
                outcome.passed.append(name)
    if plan is None:
        outcome.failed.append("it ended without a plan")
    elif plan != seen:
        outcome.failed.append(f"it planned {plan} cases and ran {seen}")
    if status != 0 and not outcome.failed:
        outcome.failed.append(f"it ended with status {status}")


def command_of(test, suite):
    command = test["cmd"]
    with open(command[0], "rb") as file:
        is_program = file.read(4) == b"\x7fELF"
    return ["unshare", "--net", *command] if suite == "netns" and is_program else command


# Process groups that run now, to be ended with us.
RUNNING = set()


def end_with_us(number, _frame):
    """A session of their own keeps Ctrl-C from the tests; they still want to clean up."""
    for group in list(RUNNING):
        with contextlib.suppress(ProcessLookupError):  # ended by itself just now
            os.killpg(group, signal.SIGTERM)
    for _ in range(100):
        if not RUNNING:
            break
        time.sleep(0.1)
    os._exit(128 + number)


def run(test, suite, build, top):
    outcome = Outcome(f"{suite} {build} {test['name']}")
    start = time.monotonic()
    folder = test["workdir"] or os.path.join(top, f"build-{build}")
    if not os.path.exists(test["cmd"][0]):
        outcome.failed.append("was not built")
        return outcome
    environment = dict(os.environ, **test["env"])
    environment.setdefault("ASAN_OPTIONS", "abort_on_error=1:detect_stack_use_after_return=1")
    environment.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    with subprocess.Popen(command_of(test, suite), cwd=folder, env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as process:
        RUNNING.add(process.pid)
        try:
            data, _ = process.communicate(timeout=test["timeout"] or None)
            late = False
        except subprocess.TimeoutExpired:
            late = True
            # TERM first: a test of the lab takes its namespaces away then.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                data, _ = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                data, _ = process.communicate()
        RUNNING.discard(process.pid)
    outcome.output = data.decode(errors="replace")
    outcome.seconds = time.monotonic() - start
    status = process.returncode
    if late:
        outcome.failed.append(f"took longer than {test['timeout']} s")
    elif test["protocol"] == "tap":
        read_tap(outcome, outcome.output, status)
    elif status == SKIP_STATUS:
        outcome.skipped.append(test["name"])
    else:
        (outcome.passed if status == 0 else outcome.failed).append(test["name"])
    return outcome


def tell(outcome, verbose):
    parts = [f"{len(outcome.passed)} passed"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if outcome.skipped:
        parts.append(f"{len(outcome.skipped)} skipped")
    print(f"{outcome.name:<44} {', '.join(parts)}  ({outcome.seconds:.1f} s)", flush=True)
    for reason in outcome.skipped:
        print(f"    skipped: {reason}")
    if outcome.failed or verbose:
        for line in outcome.output.splitlines():
            print(f"    {line}")
        for name in outcome.failed:
            print(f"    FAILED: {name}")
        sys.stdout.flush()


def run_tests(tests, workers, options):
    """Tests without a kernel beside each other, those of the netns suite one after another."""
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, test, suite, build, options.top)
                   for suite, build, test in tests]
        for future in concurrent.futures.as_completed(futures):
            outcomes.append(future.result())
            tell(outcomes[-1], options.verbose)
    return outcomes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--builds", nargs=2, type=int, default=[0, 0])
    parser.add_argument("--top", required=True)
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, end_with_us)
    signal.signal(signal.SIGTERM, end_with_us)

    known = {build: introspect(options.top, build) for build in ("gcc", "clang", "asan", "fuzz")}
    tests = [(suite, build, test) for suite in options.suites for build in BUILDS[suite]
             for test in known[build]
             if any(s.split(":")[-1] == suite for s in test["suite"])
             and not (build == "asan" and test["name"] in NOT_SANITIZED)]
    # The longest first; then what needs the kernel for itself.
    pure = sorted((t for t in tests if t[0] != "netns"), key=lambda t: t[0] != "fuzz")
    outcomes = run_tests(pure, os.cpu_count() or 1, options)
    outcomes += run_tests([t for t in tests if t[0] == "netns"], 1, options)
    if "fuzz" in options.suites and not any(suite == "fuzz" for suite, _, _ in tests):
        outcomes.append(Outcome("fuzz"))
        outcomes[-1].failed.append("no fuzzer was built")
        tell(outcomes[-1], options.verbose)

    passed = options.builds[0] + sum(len(o.passed) for o in outcomes)
    failed = options.builds[1] + sum(len(o.failed) for o in outcomes)
    skipped = sum(len(o.skipped) for o in outcomes)
    bad = [f"{o.name}: {name}" for o in outcomes for name in o.failed]
    if bad:
        print("\nFailed:")
        for name in bad:
            print(f"  {name}")
    print()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    strict = os.environ.get("CI") == "true"
    sys.exit(1 if failed or (strict and skipped) else 0)


main()
