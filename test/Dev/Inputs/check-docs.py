"""check-docs.py SOURCE PAGES: passes are described, links of hand-written pages lead somewhere.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import glob
import os
import re
import sys

source, pages = sys.argv[1:]
complaints = []

flags = {}
for page in sorted(glob.glob(os.path.join(pages, "passes-*.md"))):
    text = open(page, encoding="utf-8").read()
    for section in text.split("\n### ")[1:]:
        flag, _, body = section.partition("\n")
        if flag in flags:
            complaints.append(f"{flag} is described in {flags[flag]} and {page}")
        flags[flag] = page
        prose = re.sub(r"#### .*", "", body, flags=re.S)
        if len(prose.split("_\n", 1)[-1].strip()) < 40:
            complaints.append(f"{flag} has no description")
if len(flags) < 5:
    complaints.append(f"only {len(flags)} passes in {pages}")

for page in [os.path.join(source, "README.md"),
             *glob.glob(os.path.join(source, "docs", "*.md"))]:
    text = open(page, encoding="utf-8").read()
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in link and not os.path.exists(
                os.path.join(os.path.dirname(page), link)):
            complaints.append(f"{os.path.relpath(page, source)}: {link} is not there")

print("\n".join(complaints))
sys.exit(1 if complaints else 0)
