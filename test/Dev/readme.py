# REQUIRES: plain-build
# RUN: rm -rf %t && mkdir %t
# RUN: %python %s %moec_src/README.md %moec_bin %stock_mlir_opt %t
"""What the README shows is so: its layer parses, each command of its `sh` blocks
succeeds and says something, results are checked; each `./dev` command and each tool
that it names exists."""

import os
import re
import shlex
import subprocess
import sys

README, BUILD, MLIR_OPT, WORK = sys.argv[1:]
with open(README, encoding="utf-8") as file:
    TEXT = file.read()
blocks = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.S | re.M)
layers = [text for kind, text in blocks if kind == "mlir"]
commands = [line for kind, text in blocks if kind == "sh" for line in text.splitlines()]
assert len(layers) == 1 and len(commands) >= 5, (layers, commands)
with open(os.path.join(WORK, "layer.mlir"), "w", encoding="utf-8") as file:
    file.write(layers[0])

used = set()
for command in commands:
    words = shlex.split(command.replace("MoePlugin.so", os.path.join(BUILD, "lib", "MoePlugin.so")))
    used.add(words[0])
    words[0] = MLIR_OPT if words[0] == "mlir-opt" else os.path.join(BUILD, "bin", words[0])
    done = subprocess.run(words, cwd=WORK, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    assert done.stdout or "-o " in command or "--output" in command, command
    if "--check" in command:
        assert done.stdout.count("rel_err=") == 2 and done.stdout.count(" ok") == 2, done.stdout
assert {"moe-compile", "moe-run", "moe-opt", "mlir-opt"} <= used, used
assert os.path.exists(os.path.join(WORK, "layer.moec", "manifest.json"))

dev = subprocess.run([os.path.join(os.path.dirname(README), "dev"), "help"], text=True,
                     capture_output=True, check=True).stdout
for command in re.findall(r"\./dev (\w+)", TEXT):
    assert re.search(rf"^  {command}\b", dev, re.M), f"./dev {command} is not there"

tools = sorted(os.listdir(os.path.join(BUILD, "bin")))
for tool in set(re.findall(r"\bmoe-(?:opt|run|compile|lsp-server)\b", TEXT)):
    assert tool in tools, tool
    shown = subprocess.run([os.path.join(BUILD, "bin", tool), "--help"], text=True,
                           capture_output=True, check=True).stdout
    assert "EXAMPLES:" in shown, f"{tool} --help shows no examples"
    version = subprocess.run([os.path.join(BUILD, "bin", tool), "--version"], text=True,
                             capture_output=True, check=True).stdout
    assert "22.1" in version, f"{tool} --version names no LLVM: {version}"
