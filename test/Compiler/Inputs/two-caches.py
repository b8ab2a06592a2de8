"""Several processes compile one file with one cache at the same moment, again
and again from an empty cache: none of them fails or says anything.

usage: two-caches.py DIRECTORY FILE
"""

import os
import shutil
import subprocess
import sys

directory, source = sys.argv[1:]
environment = dict(os.environ, MOEC_CACHE_DIR=directory + "/cache")
for attempt in range(4):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    processes = [subprocess.Popen(["moe-compile", source, "--target", "sm_90a", "-o", f"{directory}/{i}"],
                                  env=environment, stderr=subprocess.PIPE, text=True) for i in range(2)]
    for process in processes:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0 and not text, (process.returncode, text)
    entries = [name for _, _, names in os.walk(environment["MOEC_CACHE_DIR"]) for name in names]
    assert sorted(name.split(".")[1] for name in entries) == ["code", "cubin"], entries
