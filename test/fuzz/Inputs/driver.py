#!/usr/bin/python3
"""A stand-in for FuzzDriver with one defect: the status DEFECT on gated layers."""

import os
import sys

if sys.argv[1] == "--ops":
    print("moe.fused_experts\nmoe.seen")
    sys.exit(0)
for text in sys.stdin.read().split("\n// -----\n"):
    bad = "gate_up" in text and "blocks" in text
    status = os.environ["DEFECT"] if bad else "ok"
    print(status, 1000 if "compile: " in text else 0, "moe.fused_experts",
          "moe-decompose-layer", "why", sep="\t")
