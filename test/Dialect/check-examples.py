# RUN: %python %s %moec_src %t
"""Every example in a .td description parses, verifies and survives the round trips.

```mlir blocks are whole modules; `#moe...` and `!moe...` behind "Example:" are
attributes and types. Each goes through the custom form, the generic form and bytecode.
"""

import pathlib
import re
import subprocess
import sys
import textwrap


def opt(args, text):
    return subprocess.run(["moe-opt", *args], input=text, capture_output=True)


def round_trip(name, text, work):
    """Error text, or None if custom, generic and bytecode forms print the same."""
    first = opt([], text.encode())
    if first.returncode:
        return f"{name}: does not parse\n{first.stderr.decode()}"
    for args in (["--mlir-print-op-generic"], ["--emit-bytecode"], []):
        form = opt(args, first.stdout)
        again = opt([], form.stdout)
        if form.returncode or again.returncode or again.stdout != first.stdout:
            return f"{name}: changes through {args}\n{again.stderr.decode()}"
    return None


def examples(path):
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"```mlir\n(.*?)```", text, re.S):
        line = text[: match.start()].count("\n") + 1
        yield f"{path.name}:{line}", textwrap.dedent(match.group(1))
    for match in re.finditer(r"Example: `([#!]moe\..*?)`", text):
        line = text[: match.start()].count("\n") + 1
        value = match.group(1)
        body = f"attributes {{a = {value}}}" if value[0] == "#" else ""
        argument = value if value[0] == "!" else ""
        yield f"{path.name}:{line}", f"func.func private @f({argument}) {body}\n"


def main(root, work):
    assert round_trip("broken", "func.func @f() { moe.nothing }", work)
    wrong, count, ops = [], 0, set()
    files = sorted((root / "include/moec/Dialect/Moe/IR").glob("*.td"))
    for path in files:
        for name, text in examples(path):
            count += 1
            ops |= set(re.findall(r"\bmoe\.([a-z_]+)", text))
            error = round_trip(name, text, work)
            if error:
                wrong.append(error)
    defined = set()
    for path in files:
        defined |= set(re.findall(r'Moe_(?:Dest)?Op<"([a-z_]+)"', path.read_text(encoding="utf-8")))
    for op in sorted(defined - ops):
        wrong.append(f"moe.{op} stands in no example")
    print("\n".join(wrong) or f"{count} examples")
    return 1 if wrong or count < 20 else 0


sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
