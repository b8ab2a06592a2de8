# RUN: %python %s %moec_src
"""The line of counts and the exit code of test/support/summarize.py."""

import json
import os
import subprocess
import sys
import tempfile

SCRIPT = os.path.join(sys.argv[1], "test", "support", "summarize.py")


def run(*results, raw=None):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, codes in enumerate(results):
            paths.append(os.path.join(folder, f"{i}.json"))
            tests = [{"name": f"t{j}", "code": code} for j, code in enumerate(codes)]
            with open(paths[-1], "w", encoding="utf-8") as out:
                json.dump({"tests": tests}, out)
        if raw is not None:
            paths.append(os.path.join(folder, "raw.json"))
            with open(paths[-1], "w", encoding="utf-8") as out:
                out.write(raw)
        done = subprocess.run([sys.executable, SCRIPT, *paths], text=True,
                              capture_output=True, check=False)
        return done.returncode, done.stdout.splitlines()


code, lines = run(["PASS", "XFAIL", "UNSUPPORTED"])
assert (code, lines[-1]) == (0, "2 passed, 0 failed, 1 skipped"), (code, lines)

for bad in ("FAIL", "TIMEOUT", "UNRESOLVED", "XPASS"):
    code, lines = run(["PASS", bad], ["PASS", "SKIPPED"])
    assert (code, lines[-1]) == (1, "2 passed, 1 failed, 1 skipped"), (code, lines)
    assert lines[0] == f"{bad}: t1", lines

# A run in which nothing ran is not a success.
for nothing in ([], ["UNSUPPORTED"]):
    code, lines = run(nothing)
    assert code == 1 and lines[-1].startswith("0 passed, 0 failed, "), (code, lines)

# A run that left no readable results counts as one failure.
code, lines = run(["PASS"], raw="{")
assert (code, lines[-1]) == (1, "1 passed, 1 failed, 0 skipped"), (code, lines)
code = subprocess.run([sys.executable, SCRIPT, "/nonexistent.json"], check=False,
                      stdout=subprocess.DEVNULL).returncode
assert code == 1, code
