#!/usr/bin/env python3
"""usage: count_tests.py JUNIT_XML

Reads what `meson test` reports.  First line: how many test cases passed, failed and were skipped; then a line for each
that failed.  Exit 1: there is no report."""
import sys
import xml.etree.ElementTree as xml


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        root = xml.parse(sys.argv[1]).getroot()
    except (OSError, xml.ParseError) as error:
        print(f"count_tests.py: {error}", file=sys.stderr)
        return 1
    passed, skipped, failures = 0, 0, []
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    # A binary that died has no cases: its suite says that it failed.
    for suite in root.iter("testsuite"):
        told = int(suite.get("failures") or 0) + int(suite.get("errors") or 0)
        found = sum(1 for c in suite.iter("testcase") if c.find("failure") is not None or c.find("error") is not None)
        if told > found:
            failures.append(f"{suite.get('name')} died or ran out of time")
    print(passed, len(failures), skipped)
    for name in failures:
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
