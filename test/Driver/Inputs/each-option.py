"""Calls moe-run with every option of a list; none may be called unknown."""

import subprocess
import sys

options = open(sys.argv[1], encoding="utf-8").read().split()
assert len(options) > 15, options
for option in options:
    run = subprocess.run(["moe-run", option], capture_output=True, text=True)
    assert "unknown option" not in run.stderr, (option, run.stderr)
