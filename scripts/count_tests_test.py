#!/usr/bin/env python3
"""What count_tests.py makes of meson's reports: no way to die counts as passed."""
import unittest
import xml.etree.ElementTree as xml

import count_tests

GTEST = """<testsuite name="meshfs.store.Suite" tests="2" failures="{failures}" errors="0">
  <testcase classname="Suite" name="One"/>
  <testcase classname="Suite" name="Two">{inside}</testcase></testsuite>"""


def report(*suites):
    return xml.fromstring("<testsuites>" + "".join(suites) + "</testsuites>")


def run(result, code, name="meshfs / store"):
    return {"name": name, "result": result, "returncode": code}


class CountTests(unittest.TestCase):
    def test_cases_are_counted_singly(self):
        root = report(GTEST.format(failures=0, inside="<skipped/>"),
                      '<testsuite name="meshfs" tests="1"><testcase classname="meshfs" name="sim"/></testsuite>')
        self.assertEqual(count_tests.count(root, [run("OK", 0), run("OK", 0, "meshfs / sim")]), (2, 1, []))

    def test_a_case_that_fails_is_named(self):
        root = report(GTEST.format(failures=1, inside="<failure/>"))
        self.assertEqual(count_tests.count(root, [run("FAIL", 1)]), (1, 0, ["Suite.Two"]))

    def test_a_program_that_dies_is_one_failure_whatever_an_earlier_run_reported(self):
        stale = report(GTEST.format(failures=0, inside=""))
        self.assertEqual(count_tests.count(stale, [run("FAIL", -11)]), (0, 0, ["store was ended by SIGSEGV"]))
        stale = report(GTEST.format(failures=1, inside="<failure/>"))
        self.assertEqual(count_tests.count(stale, [run("FAIL", -6)]), (0, 0, ["store was ended by SIGABRT"]))

    def test_a_program_that_fails_after_its_cases_is_one_failure(self):
        root = report(GTEST.format(failures=0, inside=""))
        self.assertEqual(count_tests.count(root, [run("FAIL", 66)]), (0, 0, ["store ended with 66"]))

    def test_a_program_that_runs_out_of_time_is_one_failure(self):
        # As meson 1.0 writes it: a case, and nothing that says it failed.
        root = report('<testsuite name="meshfs" tests="1"><testcase classname="meshfs" name="store"/></testsuite>')
        self.assertEqual(count_tests.count(root, [run("TIMEOUT", -15)]), (0, 0, ["store ran out of time"]))
        self.assertEqual(count_tests.count(report(), [run("TIMEOUT", -15)]), (0, 0, ["store ran out of time"]))

    def test_programs_without_cases_fail_by_their_exit(self):
        root = report('<testsuite name="meshfs" tests="1" failures="1">'
                      '<testcase classname="meshfs" name="sim"><failure/></testcase></testsuite>')
        self.assertEqual(count_tests.count(root, [run("FAIL", 1, "meshfs:sim / sim")]), (0, 0, ["sim ended with 1"]))


if __name__ == "__main__":
    unittest.main()
