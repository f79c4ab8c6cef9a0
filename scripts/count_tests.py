#!/usr/bin/env python3
"""usage: count_tests.py LOG_DIR

Reads what `meson test` left in LOG_DIR (build/meson-logs): the cases of testlog.junit.xml, and testlog.json for how each
test program ended.  First line: how many test cases passed, failed and were skipped; then a line for each that failed.
Exit 1: there is no report.

A program that died or ran out of time is one failure, whatever the report says of it: meson takes the cases from the
file GoogleTest writes last, which may be one of an earlier run, and counts a program without cases that ran out of time
as passed."""
import json
import os
import signal
import sys
import xml.etree.ElementTree as xml

GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def how_it_ended(run):
    if run["result"] == "TIMEOUT":
        return "ran out of time"
    code = run.get("returncode", 0)
    # Meson starts programs without a shell: negative is a signal.  128 and more is how a script hands one on.
    number = -code if code < 0 else code - 128
    if number > 0 and number in [s.value for s in signal.Signals]:
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with {code}"


def cases_of(root):
    """By program: (name, "passed" or "failed" or "skipped") of each case."""
    programs = {}
    for suite in root.iter("testsuite"):
        # "meshfs.store.Suite" is GoogleTest's, "meshfs.tools" TAP's, "meshfs" all programs without cases.
        parts = suite.get("name", "").split(".", 2)
        for case in suite.iter("testcase"):
            program = parts[1] if len(parts) > 1 else case.get("name", "")
            name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
            if case.find("failure") is not None or case.find("error") is not None:
                outcome = "failed"
            else:
                outcome = "passed" if case.find("skipped") is None else "skipped"
            programs.setdefault(program, []).append((name, outcome))
    return programs


def count(root, runs):
    """What main() prints: passed, skipped, and the names of failures."""
    programs = cases_of(root)
    failures = []
    for run in runs:
        program = run["name"].split(" / ")[-1]
        if run["result"] in GOOD:
            continue
        cases = programs.get(program, [])
        has_died = run["result"] == "TIMEOUT" or run.get("returncode", 0) < 0
        if has_died or all(outcome != "failed" for _, outcome in cases) or len(cases) == 1:
            programs[program] = []
            failures.append(f"{program} {how_it_ended(run)}")
    outcomes = [case for cases in programs.values() for case in cases]
    failures += [name for name, outcome in outcomes if outcome == "failed"]
    passed = sum(1 for _, outcome in outcomes if outcome == "passed")
    skipped = sum(1 for _, outcome in outcomes if outcome == "skipped")
    return passed, skipped, failures


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        root = xml.parse(os.path.join(sys.argv[1], "testlog.junit.xml")).getroot()
        with open(os.path.join(sys.argv[1], "testlog.json"), encoding="utf-8") as lines:
            runs = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, xml.ParseError) as error:
        print(f"count_tests.py: {error}", file=sys.stderr)
        return 1
    passed, skipped, failures = count(root, runs)
    print(passed, len(failures), skipped)
    for name in failures:
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
