# RUN: %python %s %moec_src
"""The table and the exit code of test/support/coverage.py."""

import json
import os
import subprocess
import sys
import tempfile

SCRIPT = os.path.join(sys.argv[1], "test", "support", "coverage.py")


def run(files, *options):
    with tempfile.TemporaryDirectory() as root:
        path = os.path.join(root, "summary.json")
        entries = [{"filename": os.path.join(root, name),
                    "summary": {"regions": {"covered": covered, "count": count}}}
                   for name, covered, count in files]
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"data": [{"files": entries}]}, out)
        done = subprocess.run([sys.executable, SCRIPT, path, root, *options], text=True,
                              capture_output=True, check=False)
        return done.returncode, [line.split() for line in done.stdout.splitlines()]


# Headers and tests do not count; folders are summed; the whole is not a mean of means.
FILES = [("lib/A/a.cpp", 9, 10), ("lib/A/b.cpp", 10, 10), ("lib/B/C/c.cpp", 0, 60),
         ("include/x.h", 0, 500), ("test/t.cpp", 0, 500)]
code, lines = run(FILES)
assert code == 0, lines
assert lines[-3:] == [["95.0", "%", "19", "of", "20", "lib/A"], ["0.0", "%", "0", "of", "60", "lib/B/C"],
                      ["23.8", "%", "19", "of", "80", "lib"]], lines
# The file that misses most comes first, a complete one not at all.
assert [line[-1] for line in lines[1:3]] == ["lib/B/C/c.cpp", "lib/A/a.cpp"], lines
assert lines[3] == ["regions", "covered:"], lines

assert run(FILES, "--floor", "23.7")[0] == 0
assert run(FILES, "--floor", "23.8")[0] == 1
assert run([("include/x.h", 1, 1)])[0] == 1
