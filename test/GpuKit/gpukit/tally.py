# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Results of checks: one line each, and a list for a file."""

import json
import os


class Tally:
    def __init__(self):
        self.results = []

    def add(self, subject, test, result, **facts):
        self.results.append({"subject": subject, "test": test, "result": result, **facts})
        words = {"passed": "ok    ", "failed": "FAILED", "skipped": "skip  "}
        shown = " ".join(f"{key}={value}" for key, value in facts.items()
                         if not isinstance(value, list))
        print(f"{words[result]} {subject} {test} {shown}".rstrip(), flush=True)

    def check(self, subject, test, passed, **facts):
        self.add(subject, test, "passed" if passed else "failed", **facts)

    def skip(self, subject, test, reason):
        self.add(subject, test, "skipped", reason=reason)

    def finish(self, folder, name):
        """Writes the file and the last line; the exit status."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(self.results, file, indent=1)
        counts = [sum(1 for result in self.results if result["result"] == word)
                  for word in ("passed", "failed", "skipped")]
        print("{} passed, {} failed, {} skipped".format(*counts))
        return 1 if counts[1] else 0
