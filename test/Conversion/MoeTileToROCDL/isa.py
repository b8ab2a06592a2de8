# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} kernels keep the rules of their instructions
"""Whole layers to instructions for every AMD chip: no scratch, no spills, vectors of 16 bytes, and at least eight
matrix instructions between two barriers of a main loop."""

import re
import subprocess
import sys

CHIPS = {"gfx942": "v_mfma", "gfx950": "v_mfma", "gfx1100": "v_wmma", "gfx1151": "v_wmma", "gfx1201": "v_wmma"}


def run(text, *command):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[:3000]}")
    return done.stdout


def layer(experts, topk, hidden, inner, dtype):
    x, ids, tw = f"tensor<?x{hidden}x{dtype}>", f"tensor<?x{topk}xi32>", f"tensor<?x{topk}xf32>"
    w1, w2 = f"tensor<{experts}x{2 * inner}x{hidden}x{dtype}>", f"tensor<{experts}x{hidden}x{inner}x{dtype}>"
    return f"""func.func @layer(%x: {x}, %ids: {ids}, %tw: {tw}, %w1: {w1}, %w2: {w2}, %y: {x}) -> {x} {{
  %r = moe.fused_experts x(%x : {x}) topk(%ids, %tw : {ids}, {tw}) w1(%w1 : {w1}) w2(%w2 : {w2})
       activation <swiglu> gate_up <halves> outs(%y : {x}) -> {x}
  return %r : {x}
}}"""


def gemms(module):
    """The explicit kernels of a module, the rest dropped."""
    blocks, lines = [], module.splitlines()
    for line in lines:
        if re.match(r"  (moe_tile\.(kernel|plan)|func\.func)", line):
            blocks.append([])
        if blocks and line != "}":
            blocks[-1].append(line)
    aliases = [line for line in lines if line.startswith(("#", "!"))]
    kernels = ["\n".join(block) for block in blocks if "form<explicit>" in block[0]]
    return "\n".join(aliases + kernels), len(kernels)


def assembly(chip, tokens, text):
    text = run(text, "moe-opt", "--moe-decompose-layer", "--moe-fuse-epilogue", "--moe-choose-formulation",
               "--moe-fold-scales=zero=element min-run=128 packed-operand",
               f"--moe-select-config=target={chip} tokens={tokens}", "--cse", f"--moe-to-tile=routing=op tokens={tokens}",
               "--canonicalize", "--cse", f"--moe-tile-to-explicit=target={chip}")
    text, count = gemms(text)
    text = run(text, "moe-opt", "--convert-moe-tile-to-rocdl", f"--moe-rocdl-to-llvm=chip={chip}")
    text = re.sub(r"moe.config = #moe.config<[^>]*>, ", "", text)
    text = run(text, "mlir-translate", "--mlir-to-llvmir")
    text = run(text, "opt", "-S", "-mtriple=amdgcn-amd-amdhsa", f"-mcpu={chip}", "-passes=default<O3>")
    return run(text, "llc", "-O3", "-mtriple=amdgcn-amd-amdhsa", f"-mcpu={chip}"), count


def check(name, body, matrix):
    """Problems of one kernel's text."""
    for what in ("ScratchSize", "vgpr_spill_count", "sgpr_spill_count"):
        for number in re.findall(what + r":\s*(\d+)", body):
            if number != "0":
                yield f"{name}: {what} {number}"
    # The assembler moves matrix instructions over barriers: those of a step are counted, of which each deposit, one
    # run of writes to LDS, ends one.
    for block in re.split(r"^(?=\.LBB)", body, flags=re.M):
        label = block.split(":")[0]
        if matrix not in block or not re.search(rf"s_cbranch_\w+ {label}$", block, re.M):
            continue
        products = len(re.findall(rf"^\s*{matrix}", block, re.M))
        events = re.findall(r"^\s*(s_barrier(?!_signal)|ds_write|ds_store)", block, re.M)
        steps = sum(1 for one, two in zip(["s_barrier"] + events, events) if "ds_" in two and "ds_" not in one)
        if events.count("s_barrier") == 0 or products < 8 * max(steps, 1):
            yield f"{name}: {products} matrix instructions in {steps} steps with {events.count('s_barrier')} barriers"
    loads = re.findall(r"^\s*global_load_(\w+)", body, re.M)
    if not any(load in ("dwordx4", "b128") for load in loads):
        yield f"{name}: no loads of 16 bytes: {loads}"
    if not re.search(r"ds_(read|load)_b128", body) or not re.search(r"ds_(write|store)_b128", body):
        yield f"{name}: LDS is not accessed by 16 bytes"
    if "s_swappc" in body or "s_setpc" in body:
        yield f"{name}: calls something"


def main():
    # Qwen3-30B-A3B, and a tensor-parallel slice of it whose gate and up tiles are no powers of two.
    layers = [(layer(128, 8, 2048, 768, "bf16"), 4096), (layer(128, 8, 2048, 768, "bf16"), 1),
              (layer(128, 8, 2048, 768, "f16"), 200), (layer(128, 8, 2048, 96, "bf16"), 512)]
    problems, kernels = [], 0
    for chip, matrix in CHIPS.items():
        for number, (text, tokens) in enumerate(layers):
            if number % 2 and chip in ("gfx1151", "gfx950"):
                continue
            text, count = assembly(chip, tokens, text)
            bodies = re.split(r"^\s*\.globl\s+", text, flags=re.M)[1:]
            assert len(bodies) == count == 2, (len(bodies), count)
            for body in bodies:
                kernels += 1
                problems += check(f"{chip} {tokens} {body.split()[0]}", body, matrix)
    print("\n".join(problems))
    if problems:
        sys.exit(1)
    print(f"{kernels} kernels keep the rules of their instructions")


main()
