# RUN: %python %s %moec_src
"""Every pass has a summary, a description, a statistic, options with a default, a
flag of its own and (passes on moe) a test whose name is the flag's stem."""

import pathlib
import re
import sys


def passes(text):
    for match in re.finditer(r'^def (\w+)\s*:\s*(?:Interface)?Pass<\s*"([^"]+)"(.*?)^}', text, re.S | re.M):
        yield match.groups()


def problems(name, flag, body, tests, require_all):
    """`tests` maps the stem of a test to its text."""
    lines = []
    summary = re.search(r'let summary\s*=\s*"([^"]+)"', body)
    if not summary:
        lines.append("no summary")
    description = re.search(r"let description\s*=\s*\[\{(.*?)\}\]", body, re.S)
    if not description or len(description.group(1).split()) < 15:
        lines.append("no description to speak of")
    if "Statistic<" not in body:
        lines.append("no statistic")
    if require_all and description and "imit" not in description.group(1):
        lines.append("the description states no limits")
    if require_all:
        for option in re.findall(r'Option<"(\w+)"(.*?)(?=(?:List)?Option<"|let statistics|\Z)', body, re.S):
            if "default" not in option[1]:
                lines.append(f"option {option[0]} does not state its default")
    stem = flag.removeprefix("moe-")
    if require_all and flag not in tests.get(stem, ""):
        lines.append(f"no test {stem}.mlir runs it")
    return [f"{name} ({flag}): {line}" for line in lines]


def main(root):
    assert problems("P", "moe-x", "", {"x": "moe-x"}, True)
    tests = {path.stem: path.read_text(encoding="utf-8", errors="replace")
             for path in (root / "test").rglob("*") if path.suffix in (".mlir", ".test", ".py", ".cpp")}
    wrong, flags, summaries, ours = [], {}, {}, 0
    for path in sorted((root / "include").rglob("*.td")):
        if "Transforms" not in path.parts and path.name != "Passes.td":
            continue
        of_moe = path.parts[-3:-1] == ("Moe", "Transforms")
        for name, flag, body in passes(path.read_text(encoding="utf-8")):
            ours += of_moe
            wrong += problems(name, flag, body, tests, of_moe)
            summary = re.search(r'let summary\s*=\s*"([^"]+)"', body)
            for seen, key in ((flags, flag), (summaries, summary.group(1) if summary else name)):
                if key in seen:
                    wrong.append(f"{name}: '{key}' also belongs to {seen[key]}")
                seen[key] = name
    if ours < 4:
        wrong.append(f"only {ours} passes of the moe dialect were found")
    print("\n".join(wrong) or f"{len(flags)} passes")
    return 1 if wrong else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
