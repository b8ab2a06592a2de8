"""Counts lit's JSON results: prints the failed tests, then one line of counts.

    summarize.py RESULTS.json...

The last line is `N passed, N failed, N skipped`. A test counts as skipped where
lit calls it unsupported or excluded, as failed wherever it did not do what it
should (timeouts, unresolved and unexpectedly passing ones included). The exit
code is 0 only if something ran and nothing failed.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import json
import sys

PASSED = {"PASS", "FLAKYPASS", "XFAIL"}
SKIPPED = {"UNSUPPORTED", "SKIPPED", "EXCLUDED"}


def main(paths):
    passed, skipped, failures = 0, 0, []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as results:
                tests = json.load(results)["tests"]
        except (OSError, ValueError, KeyError) as error:
            failures.append(f"{path}: no results ({error})")
            continue
        for test in tests:
            if test["code"] in PASSED:
                passed += 1
            elif test["code"] in SKIPPED:
                skipped += 1
            else:
                failures.append(f"{test['code']}: {test['name']}")
    for failure in failures:
        print(failure)
    if not passed and not failures:
        print("no test ran")
    print(f"{passed} passed, {len(failures)} failed, {skipped} skipped")
    return 0 if passed and not failures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
