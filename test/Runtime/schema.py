# RUN: %python %s %moec_src
"""docs/manifest.schema.json accepts and refuses what the run time does."""

import copy
import json
import re
import sys

from json_schema import matches


def change(document, case):
    """`document` with the case's change, see broken-manifests.json."""
    document = copy.deepcopy(document)
    path = case["at"].split("/")[1:]
    if not path:
        return case["to"]
    place = document
    for step in path[:-1]:
        place = place[int(step) if isinstance(place, list) else step]
    last = int(path[-1]) if isinstance(place, list) else path[-1]
    if "to" in case:
        place[last] = case["to"]
    else:
        del place[last]
    return document


def main(source):
    with open(source + "/docs/manifest.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    inputs = source + "/test/Runtime/Inputs"
    with open(inputs + "/toy.json", encoding="utf-8") as file:
        toy = json.load(file)
    with open(inputs + "/broken-manifests.json", encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    assert matches(toy, schema, schema), "toy.json"

    with open(source + "/docs/artifact.md", encoding="utf-8") as file:
        examples = re.findall(r"```json\n(.*?)```", file.read(), re.S)
    assert examples
    for example in examples:
        assert matches(json.loads(example), schema, schema), example

    checked = 0
    for case in cases:
        refused = not matches(change(toy, case), schema, schema)
        assert refused == case.get("schema", True), case
        checked += refused
    assert checked >= 75, checked

    with open(inputs + "/hip.json", encoding="utf-8") as file:
        amd = json.load(file)
    assert matches(amd, schema, schema), "hip.json"
    first = "/variants/0"
    for at, to in [("/code", None), ("/launches/0/block", [2000, 1, 1]), ("/resources/waves_per_simd", -1),
                   ("/launches/0", {"kernel": "k", "args": []})]:
        assert not matches(change(amd, {"at": first + at, "to": to}), schema, schema), at

    # What only a GPU's variants have.
    gpu = "/variants/1/launches/0"
    for at, to in [("/block", [384]), ("/cluster", 2), ("/smem", -1), ("/grid", [1, 1]),
                   ("/grid", [{"persistent": 0}, 1, 1]), ("/resident", "yes"),
                   ("/args/2/type", "i16"), ("/args/0/tensor_map/swizzle", "256"),
                   ("/args/0/tensor_map/box", [512]), ("/args/0/tensor_map/of", {}),
                   ("/args/1", {"device_tokens": "i8"})]:
        assert not matches(change(toy, {"at": gpu + at, "to": to}), schema, schema), at
    for at, to in [("/early_start", True), ("/grid", ["8*T", 1, {"T": 1, "div": 64}]),
                   ("/resources", {"registers": None}), ("/args/1", {"device_tokens": "i32"}),
                   ("/args/0/tensor_map/swizzle", "128")]:
        assert matches(change(toy, {"at": gpu + at, "to": to}), schema, schema), at


main(sys.argv[1])
