"""CPU time and peak memory of a command.

usage: measure.py SECONDS MEGABYTES COMMAND ...

Fails if the command takes more user and system time or memory than that; the
best of three runs counts, since other load can only make one slower.
"""

import resource
import subprocess
import sys

limit, megabytes, command = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
best = None
before = 0.0
for _ in range(3):
    subprocess.run(command, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = usage.ru_utime + usage.ru_stime
    best = min(best or 1e9, total - before)
    before = total
peak = usage.ru_maxrss / 1024
print(f"cpu_s={best:.2f} peak_MB={peak:.0f}")
assert best <= limit, f"{best:.2f} s of CPU time, at most {limit} allowed"
assert peak <= megabytes, f"{peak:.0f} MB, at most {megabytes} allowed"
