# RUN: rm -rf %t && mkdir %t && %python %s %t
"""Plain kernels become code of every AMD chip: no scratch, no spills, wide accesses.

The kernels are those of the NVVM tests, and of rows.mlir here.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
CHIPS = {"gfx942": 64, "gfx950": 64, "gfx1100": 32, "gfx1151": 32, "gfx1201": 32}
FILES = [HERE / "../MoeTileToNVVM" / name for name in ("topk.mlir", "align.mlir")] + [HERE / "rows.mlir"]
# Of which kernel the code must have what; all chips spell it so or so.
WANTED = {
    "combine": ["global_load_(b128|dwordx4)", "global_store_(b64|dwordx2)"],
    "groups": ["quad_perm", "row_half_mirror", "row_mirror", "global_load_(b128|dwordx4)"],
    "whole": ["v_readlane_b32", "s_barrier", "ds_(store|write)_b32"],
    "few": ["ds_bpermute_b32", "row_shr:8", "v_(bcnt|mbcnt)|s_bcnt|v_bcnt"],
    "softmax": ["v_exp_f32", "row_mirror", "v_readlane_b32"],
}


def run(*command, **how):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **how).stdout


def main(folder):
    folder = pathlib.Path(folder)
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    # One @softmax and one @many; @combine from the row kernels of NVVM.
    text = re.sub(r"@(softmax|many)\(", r"@\1(", text)
    nvvm = (HERE / "../MoeTileToNVVM/rows.mlir").read_text(encoding="utf-8")
    start = nvvm.index("moe_tile.kernel @combine")
    combine = nvvm[start:nvvm.index("  moe_tile.return\n}\n", start)] + "  moe_tile.return\n}\n"
    kernels = {}
    for kernel in re.findall(r"^moe_tile\.kernel @.*?^}\n", text + combine, re.S | re.M):
        kernels[re.search(r"@(\w+)", kernel).group(1)] = kernel
    source = folder / "in.mlir"
    source.write_text("".join(kernels.values()), encoding="utf-8")
    wrong = 0
    for chip, lanes in CHIPS.items():
        lowered, ir, code = (folder / f"{chip}.{end}" for end in ("mlir", "ll", "s"))
        run("moe-opt", str(source), f"-convert-moe-tile-rows-to-rocdl=chip={chip}",
            f"-moe-rocdl-to-llvm=chip={chip}", "-o", str(lowered))
        run("mlir-translate", "--mlir-to-llvmir", str(lowered), "-o", str(ir))
        target = ["-mtriple=amdgcn-amd-amdhsa", f"-mcpu={chip}"]
        run("opt", "-O3", *target, "-S", str(ir), "-o", str(ir))
        run("llc", "-O3", *target, str(ir), "-o", str(code))
        assembly = code.read_text(encoding="utf-8")
        found = re.findall(r"^  - \.a.*?(?=^  - \.a|^amdhsa)", assembly[assembly.index("amdhsa.kernels:"):], re.S | re.M)
        names = []
        for entry in found:
            facts = dict(re.findall(r"^    \.(\w+): +(\S+)", entry, re.M))
            names.append(facts["name"])
            bad = {key: facts[key] for key in ("private_segment_fixed_size", "sgpr_spill_count", "vgpr_spill_count")
                   if facts[key] != "0"}
            if bad or int(facts["wavefront_size"]) != lanes:
                wrong += 1
                print(f"{chip} {facts['name']}: {bad}, wave of {facts['wavefront_size']}")
        if sorted(names) != sorted(kernels):
            wrong += 1
            print(f"{chip}: {sorted(names)}, wanted {sorted(kernels)}")
        for name, patterns in WANTED.items():
            body = assembly[assembly.index(f"\n{name}:"):assembly.index(f".size\t{name},")]
            for pattern in patterns:
                if not re.search(pattern, body):
                    wrong += 1
                    print(f"{chip} {name}: no {pattern}")
    print(f"{len(CHIPS) * len(kernels)} kernels, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
