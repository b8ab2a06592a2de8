"""Prints the configurations of an artifact's variants and why others were not
taken: block sizes and stages only."""

import json
import re
import sys

with open(sys.argv[1] + "/manifest.json", encoding="utf-8") as file:
    manifest = json.load(file)
for variant in manifest["variants"]:
    def brief(text):
        stages = re.search(r"stages = \d+", text)
        return re.search(r"block = \[.*?\]", text).group() + (", " + stages.group() if stages else "")
    for rejection in variant.get("rejected", []):
        print("rejected", brief(rejection["config"]) + ":", rejection["reason"])
    for config in variant["config"]:
        print("config", brief(config))
    print("tokens", variant["tokens"], "registers", variant["resources"]["registers"])
