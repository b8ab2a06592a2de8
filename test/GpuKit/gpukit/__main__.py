# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""gpu-kit/run check | bench | kernels | sweep | calibrate | report"""

import argparse
import json
import os
import sys

from . import bench, calibrate, check, kernels, report, sweep

HOME = os.environ.get("MOEC_GPU_KIT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Where the kit keeps what a program runs, if not in artifacts.
FOLDERS = {"kernels": "kernels", "sweep": "sweeps"}


def main(arguments):
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    programs = {"check": check, "bench": bench, "kernels": kernels, "sweep": sweep}
    for name, module in programs.items():
        command = commands.add_parser(name, description=module.__doc__, help=module.__doc__)
        command.add_argument("--artifacts", nargs="*",
                             default=[os.path.join(HOME, FOLDERS.get(name, "artifacts"))],
                             help="folders with a manifest.json, or folders of such folders")
        command.add_argument("--out", default="gpu-kit-results", help="folder for what is written")
        command.add_argument("--dry-run", action="store_true",
                             help="say what would be done; needs neither GPU nor PyTorch")
        module.add_arguments(command)
    command = commands.add_parser("calibrate", description=calibrate.__doc__,
                                  help=calibrate.__doc__)
    calibrate.add_arguments(command, HOME)
    command = commands.add_parser("report", help="table and plots of a bench.json")
    command.add_argument("json")
    command.add_argument("--out", default=".")
    options = parser.parse_args(arguments)
    if options.command == "report":
        with open(options.json, encoding="utf-8") as file:
            document = json.load(file)
        print(report.markdown(document), end="")
        for path in report.plots(document, options.out):
            print(f"wrote {path}", file=sys.stderr)
        return 0
    if options.command == "calibrate":
        return calibrate.run(options)
    return programs[options.command].run(options)


sys.exit(main(sys.argv[1:]))
