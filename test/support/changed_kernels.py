"""Kernels with a few places changed, and what a pass says of each.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import pathlib
import subprocess


def change(text, pairs, number):
    """The text with every old of (old, new, old, new, ...) replaced; each must occur."""
    for old, new in zip(pairs[::2], pairs[1::2]):
        assert old in text, f"case {number}: no '{old}' in the kernel"
        text = text.replace(old, new)
    return text


def complaint(sentence, option, path):
    """What is wrong with the answer of moe-opt, "" if nothing is: one error with the
    sentence, or no word at all if that is empty."""
    try:
        done = subprocess.run(["moe-opt", option, str(path), "-o", "/dev/null"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "did not end"
    if sentence:
        good = done.returncode == 1 and sentence in done.stdout and done.stdout.count("error: ") == 1
    else:
        good = done.returncode == 0 and not done.stdout
    return "" if good else f"exit {done.returncode}:\n{done.stdout[:600]}"


def check(folder, cases, options):
    """Each case is a kernel, the sentence that it must meet ("" for none) and pairs of
    what is replaced by what. `options` are the pass of each target with its name, which
    stands as NAME in sentences. Returns the number of wrong answers."""
    wrong = 0
    for number, (text, sentence, *pairs) in enumerate(cases):
        path = pathlib.Path(folder) / f"{number}.mlir"
        path.write_text(change(text, pairs, number), encoding="utf-8")
        for option, name in options:
            wanted = sentence.replace("NAME", name)
            found = complaint(wanted, option, path)
            if found:
                wrong += 1
                print(f"case {number}, {option}: wanted '{wanted}', {found}")
    print(f"{len(cases)} kernels, {wrong} wrong")
    return wrong
