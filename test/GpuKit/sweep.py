# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles a layer with every configuration of a grid: sweep.py COMPILER OUT [options].

The grid knows nothing of the selector, so what is fastest in it says how good a choice is. OUT gets
an artifact per configuration of the two products (without PTX) and `sweep.json`, which lists them
and those that were refused, with the reason. `build.py ... --sweep OUT` puts it into the kit.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import re
import shutil
import subprocess
import sys

# What a block may have, less what barriers take.
SHARED_BYTES = 232448 - 2048
CONFIGS = re.compile(r"config \[#moe\.config<.*?>\](?= )")
# Where scales of packed weights are applied depends on how many tokens an expert gets. Tiles of so
# many rows have it as decided for a few tokens, others for --tokens.
FEW_ROWS, FEW_TOKENS = 32, 16
# How two teams of an unswapped product share registers with the one that loads.
TEAMS = {"load_regs": 40, "compute_groups": 2, "compute_regs": 232}


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="sweep.py", description=__doc__)
    parser.add_argument("compiler", help="moe-compile")
    parser.add_argument("out")
    parser.add_argument("--model", default="qwen3-30b-a3b")
    parser.add_argument("--dtype", default="bf16", choices=sorted(GRIDS))
    parser.add_argument("--layer", help="compile this .mlir file instead of a model")
    parser.add_argument("--blocks", help="rows of tiles, comma-separated; default: all of the grid")
    parser.add_argument("--stages", help="slots, comma-separated; default: those of the grid")
    parser.add_argument("--tokens", type=int, default=1024,
                        help="the count that everything but the products is compiled for")
    parser.add_argument("--chosen", help="also compile what the selector chooses for these token "
                        "counts, comma-separated")
    parser.add_argument("--predict", default="1,16,64,256,1024,4096,16384",
                        help="token counts that times are predicted for, comma-separated")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the grid, compile nothing")
    return parser.parse_args(arguments)


def stages_of(slot, wanted):
    """Slot counts of the list that fit, and the most that do (at most 12); 0 stands for it."""
    most = min(SHARED_BYTES // slot, 12)
    return sorted({count or most for count in wanted if 2 <= (count or most) <= most})


def entry(product, m, rows, k, stages, **fields):
    """One configuration; `rows` are rows of weights, of which gate and up share a column."""
    n = rows // 2 if product == "up" else rows
    return {"block": [m, n, k], "stages": stages, "a": "gather" if product == "up" else "desc",
            "b": "desc", "claim": "stride", "order": "expert_major", "store": "vector", **fields}


def grid_16(product, m, stages):
    """Of 16-bit operands."""
    # Gate and up rows of one column stand 64 rows apart.
    for rows in ((128, 256) if product == "up" else (64, 128, 256)) if m <= 64 else ():
        slot = (m + rows) * 128
        for count in stages_of(slot, stages):
            yield entry(product, m, rows, 64, count, swap=True)
        most = stages_of(slot, [0])
        for count in most:
            yield entry(product, m, rows, 64, count, swap=True, order="n_major")
            yield entry(product, m, rows, 64, count, swap=True, order="block_major")
            if rows > 64 and product == "down":
                yield entry(product, m, rows, 64, count, swap=True, compute_groups=2,
                            compute_split="n")
    for rows in (32, 64, 128, 256) if m % 64 == 0 else ():
        if m * rows > 128 * 256 or (m == 192 and rows == 256):
            continue
        teams = TEAMS if m >= 128 and m % 128 == 0 else {}
        stores = {"vector"} | ({"desc" if product == "up" else "staged"} if m != 192 else set())
        for store in sorted(stores):
            staging = 0 if store == "vector" else 2 * m * 128
            slot = (m + rows) * 128
            most = min((SHARED_BYTES - staging) // slot, 12)
            counts = sorted({count or most for count in stages if 2 <= (count or most) <= most})
            for count in counts:
                yield entry(product, m, rows, 64, count, store=store, **teams)
            if counts:
                yield entry(product, m, rows, 64, counts[-1], store=store, order="n_major", **teams)


def grid_8(product, m, stages):
    """Of 8-bit operands with scales per 128 columns; the first result is quantised by 128, which
    leaves one width, so that every number of slots and every order is a configuration."""
    orders = ("expert_major", "n_major")
    if product == "up":
        stages, orders = sorted({2, 3, 4, 5, 6, *stages}), orders + ("block_major",)
    for rows in ((256,) if product == "up" else (64, 128)) if m <= 64 else ():
        for count in stages_of((m + rows) * 128 + 1024, stages):
            for order in orders[:2]:
                yield entry(product, m, rows, 128, count, swap=True, order=order)
    for rows in ((256,) if product == "up" else (64, 128, 256)) if m % 64 == 0 else ():
        teams = TEAMS if m >= 128 and m % 128 == 0 else {}
        for store in ("staged", "vector"):
            staging = 0 if store == "vector" else (1 if product == "up" else 2) * m * 128
            most = min((SHARED_BYTES - staging) // ((m + rows) * 128 + 1024), 12)
            for count in sorted({c or most for c in stages if 2 <= (c or most) <= most}):
                for order in orders:
                    yield entry(product, m, rows, 128, count, store=store, order=order, **teams)


def grid_4(product, m, stages):
    """Of 4-bit weights, which always stand on the row side."""
    for rows, k, order in itertools.product((128, 256), (64, 128, 256), ("expert_major", "n_major")):
        if order == "n_major" and rows == 128:
            continue
        slot = (2 * m + rows // 2) * k
        for count in stages_of(slot, [count for count in stages if count != 2]):
            for teams in teams_4(m, rows):
                yield entry(product, m, rows, k, count, swap=True, b_place="compute", order=order,
                            compute_split="n", **teams)


def teams_4(m, rows):
    """Teams that share the rows of a tile, and registers where they do not get along with equal
    parts."""
    if m >= 64:
        yield {"compute_groups": 2, "load_regs": 56, "compute_regs": 224}
        return
    yield {"compute_groups": 2}
    if rows == 256 and m >= 16:
        yield {"compute_groups": 4, "load_regs": 56, "compute_regs": 104}


# Rows of tiles, what else, and slot counts (0: as many as fit).
GRIDS = {"bf16": ((8, 16, 32, 64, 128, 192), grid_16, (2, 3, 4, 6, 8, 0)),
         "f16": ((8, 16, 32, 64, 128, 192), grid_16, (2, 3, 4, 6, 8, 0)),
         "fp8-block": ((8, 16, 32, 64, 128), grid_8, (2, 3, 4, 6, 8, 0)),
         "w4a16-g128": ((8, 16, 32, 64, 128, 256), grid_4, (4, 6, 8, 0))}


def text_of(config, partial=None):
    """`#moe.config<...>`."""
    def value(item):
        if isinstance(item, bool):
            return "true" if item else "false"
        return f'"{item}"' if isinstance(item, str) else json.dumps(item)
    fields = dict(config)
    if partial:
        fields["partial"] = partial
    fields["source"] = "user"
    return "#moe.config<" + ", ".join(f"{key} = {value(item)}"
                                      for key, item in fields.items()) + ">"


def pairs_of(dtype, blocks=None, stages=None):
    """[(m, up, down)]: every configuration of either product stands in at least one."""
    all_blocks, grid, all_stages = GRIDS[dtype]
    pairs = []
    for m in blocks or all_blocks:
        ups = list(grid("up", m, stages or all_stages))
        downs = list(grid("down", m, stages or all_stages))
        for number in range(max(len(ups), len(downs)) if ups and downs else 0):
            pairs.append((m, ups[number % len(ups)], downs[number % len(downs)]))
    return pairs


def decided(options, tokens):
    """The layer after all decisions for a token count, as text."""
    source = ([options.layer] if options.layer
              else ["--model", options.model, "--dtype", options.dtype])
    done = subprocess.run([options.compiler, *source, "--target", "sm_90a", "--tokens",
                           str(tokens), "--emit", "moe"], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"sweep: {done.stderr.strip()}")
    if len(CONFIGS.findall(done.stdout)) != 2:
        sys.exit("sweep: the layer has not two products with configurations")
    return done.stdout


def compile_layer(options, source, tokens, folder):
    """(the variant of the manifest, None) or (None, why not); PTX is not kept."""
    done = subprocess.run([options.compiler, *source, "--target", "sm_90a", "--tokens",
                           str(tokens), "-o", folder], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        return None, (lines or ["failed"])[0].split("error: ")[-1]
    for name in os.listdir(folder):
        if name.endswith(".ptx"):
            os.remove(os.path.join(folder, name))
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        return json.load(file)["variants"][0], None


def predict(options, name, tokens):
    """{token count: {part: microseconds}} by the model, for an artifact of a fixed layer."""
    source = os.path.join(options.out, name, "layer.mlir")
    done = subprocess.run([options.compiler, source, "--target", "sm_90a", "--tokens",
                           ",".join(map(str, tokens)), "--emit", "prediction"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"sweep: {done.stderr.strip()}")
    return {str(one["tokens"]): {"up": one["products"][0]["us"], "down": one["products"][-1]["us"],
                                 "whole": one["us"]} for one in json.loads(done.stdout)}


def compile_pair(options, texts, name, m, up, down):
    """As compile_layer, with these configurations of the two products."""
    text = texts[m <= FEW_ROWS]
    configs = iter([text_of(up), text_of(down, "bf16" if m >= 64 else None)])
    text = CONFIGS.sub(lambda _: f"config [{next(configs)}]", text)
    text = re.sub(r"block_m = \d+>", f"block_m = {m}>", text)
    source = os.path.join(options.out, name + ".mlir")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    result = compile_layer(options, [source], options.tokens, os.path.join(options.out, name))
    os.remove(source)
    return result


def compile_chosen(options, tokens):
    """What the selector takes for a token count, as an item of the list; ends if that fails."""
    name = f"chosen-t{tokens}"
    source = ([options.layer] if options.layer
              else ["--model", options.model, "--dtype", options.dtype])
    variant, reason = compile_layer(options, source, tokens, os.path.join(options.out, name))
    if reason:
        sys.exit(f"sweep: {reason}")
    up, down = variant["config"][0], variant["config"][-1]
    return {"name": name, "block_m": int(re.search(r"block = \[(\d+)", up).group(1)), "up": up,
            "down": down, "tokens": tokens, "resources": resources_of(variant),
            "predicted_us": predict(options, name, [tokens])}


def sizes_of(folder):
    """E, k, H and I of an artifact by the shapes of its arguments: gate and up stand in w1."""
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        arguments = json.load(file)["arguments"]
    shapes = {argument["name"]: argument["shape"] for argument in arguments}
    return {"E": shapes["w1"][0], "k": shapes["topk_ids"][1], "H": shapes["x"][1],
            "I": shapes["w1"][1] // 2}


def resources_of(variant):
    return {launch["kernel"]: launch.get("resources") for launch in variant["launches"]}


def numbers(text):
    return [int(piece) for piece in text.split(",")] if text else None


def main(arguments):
    options = options_of(arguments)
    pairs = pairs_of(options.dtype, numbers(options.blocks), numbers(options.stages))
    if options.list:
        for m, up, down in pairs:
            print(m, text_of(up), text_of(down))
        for product, at in (("up", 1), ("down", 2)):
            print(f"{product}: {len({text_of(pair[at]) for pair in pairs})} configurations")
        return
    texts = {few: decided(options, FEW_TOKENS if few else options.tokens) for few in (True, False)}
    shutil.rmtree(options.out, ignore_errors=True)
    os.makedirs(options.out)
    made, refused = [], []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        names = [f"m{m}-{number:03}" for number, (m, _, _) in enumerate(pairs)]
        jobs = [pool.submit(compile_pair, options, texts, name, *pair)
                for name, pair in zip(names, pairs)]
        for number, (name, pair, job) in enumerate(zip(names, pairs, jobs)):
            m, up, down = pair
            facts = {"name": name, "block_m": m, "up": text_of(up),
                     "down": text_of(down, "bf16" if m >= 64 else None)}
            variant, reason = job.result()
            if reason:
                refused.append({**facts, "reason": reason})
            else:
                made.append({**facts, "resources": resources_of(variant),
                             "predicted_us": predict(options, name, numbers(options.predict))})
            print(f"\r{number + 1}/{len(pairs)}, {len(refused)} refused", end="",
                  file=sys.stderr, flush=True)
    print(file=sys.stderr)
    chosen = [compile_chosen(options, tokens) for tokens in numbers(options.chosen) or ()]
    with open(os.path.join(options.out, "sweep.json"), "w", encoding="utf-8") as file:
        sizes = sizes_of(os.path.join(options.out, made[0]["name"])) if made else None
        json.dump({"format": 1, "model": options.model, "dtype": options.dtype, "sizes": sizes,
                   "artifacts": made, "chosen": chosen, "refused": refused}, file, indent=1)
    counts = {product: len({item[product] for item in made}) for product in ("up", "down")}
    print(f"{options.out}: {len(made)} artifacts, {counts['up']} configurations of the first "
          f"product, {counts['down']} of the second, {len(refused)} refused")


if __name__ == "__main__":
    main(sys.argv[1:])
