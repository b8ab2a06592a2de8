# RUN: %python %s %moec_src
"""Every labelled rule stands in the description, in a verifier and in an invalid.mlir.

The label of a rule (`ggemm_c3`) leads from the sentence to the code to the test;
this check keeps the three together, both ways, and a self-test shows that it fails.
"""

import pathlib
import re
import sys

LABEL = re.compile(r"\b([a-z][a-z0-9_]*_c[0-9]+)\b")


def labels(texts):
    return {label for text in texts for label in LABEL.findall(text)}


def differences(described, verified, tested):
    """Lines that name every label missing in one of the three places."""
    lines = []
    for place, found in (("description", described), ("verifier", verified), ("invalid.mlir", tested)):
        for label in sorted((described | verified | tested) - found):
            lines.append(f"{label}: missing in the {place}")
    return lines


def read(paths):
    return [path.read_text(encoding="utf-8") for path in paths]


def rule_lines(texts):
    """In a description a rule is a list item that starts with its label."""
    return [line for text in texts for line in re.findall(r"^\s*\* `[a-z0-9_]+`:", text, re.M)]


def main(root):
    assert differences({"a_c1"}, {"a_c1"}, set()) == ["a_c1: missing in the invalid.mlir"]
    assert differences({"a_c1"}, {"a_c1"}, {"a_c1"}) == []
    described = labels(rule_lines(read((root / "include/moec/Dialect/Moe/IR").glob("*.td"))))
    code = read((root / "lib/Dialect/Moe/IR").glob("*.cpp"))
    verified = labels(re.findall(r'"[^"\n]*"', "\n".join(code)))
    expected = re.findall(r"expected-error[^{]*\{\{(.*)", "\n".join(read([root / "test/Dialect/Moe/invalid.mlir"])))
    tested = labels(expected)
    if len(described) < 40:
        print(f"only {len(described)} labels found in the descriptions")
        return 1
    wrong = differences(described, verified, tested)
    print("\n".join(wrong) or f"{len(described)} labels, all in three places")
    return 1 if wrong else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
