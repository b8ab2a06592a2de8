"""Prints a layer of one kernel that needs more registers than it has, or, with
`serial`, one whose matrix products ptxas serialises. `amd-spill` and
`amd-scratch` are for AMD GPUs; the latter has an array that no register holds.
"""

import sys

PLAN = """moe_tile.plan @layer(%x: memref<?x1024xf32> {moe.name = "x", moe.role = "output"}) {
  %k = moe_tile.launch @KERNEL(%x) : (memref<?x1024xf32>) -> !moe_tile.token
  moe_tile.return
}"""
ATTRIBUTES = """attributes {moe_tile.lowered, nvvm.kernel, nvvm.reqntid = array<i32: THREADS>,
      moe.launch = {block = array<i64: THREADS, 1, 1>, smem = 8192 : i64, grid = [1, 1, 1], params = [{operand = 0}]}}"""


def spill(count=80):
    lines = ["  %t = nvvm.read.ptx.sreg.tid.x : i32"]
    for i in range(count):
        lines += [f"  %q{i} = llvm.getelementptr %x[%t, {i}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, !llvm.array<{count} x f32>",
                  f"  %v{i} = llvm.load volatile %q{i} : !llvm.ptr<1> -> f32"]
    lines += [f"  llvm.store volatile %v{i * 37 % count}, %q{i} : f32, !llvm.ptr<1>" for i in range(count)]
    return lines


def serial(fields=8):
    acc = "!llvm.struct<(" + ", ".join(["f32"] * fields) + ")>"
    # The last wait leaves a product pending whose registers are read.
    lines = ["  %c0 = arith.constant 0 : i32", "  %c1 = arith.constant 1 : i32", "  %c4 = arith.constant 4 : i32",
             "  %d = arith.constant 0x4000004000010000 : i64", f"  %u = llvm.mlir.undef : {acc}",
             f"  %r = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %u) -> ({acc}) : i32 {{",
             "    nvvm.wgmma.fence.aligned",
             f"    %n = nvvm.wgmma.mma_async %d, %d, %a, #nvvm.shape<m = 64, n = {2 * fields}, k = 16>, D [<f32>, <one>],",
             f"      A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : {acc} -> {acc}",
             "    nvvm.wgmma.commit.group.sync.aligned", "    nvvm.wgmma.wait.group.sync.aligned 1",
             f"    scf.yield %n : {acc}", "  }", "  nvvm.wgmma.wait.group.sync.aligned 1",
             "  %t = nvvm.read.ptx.sreg.tid.x : i32"]
    for i in range(fields):
        lines += [f"  %e{i} = llvm.extractvalue %r[{i}] : {acc}",
                  f"  %p{i} = llvm.getelementptr %x[%t, {i}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, !llvm.array<{fields} x f32>",
                  f"  llvm.store %e{i}, %p{i} : f32, !llvm.ptr<1>"]
    return lines


def scratch(count=4096):
    return ["  %t = rocdl.workitem.id.x : i32", f"  %n = arith.constant {count} : i32",
            "  %a = llvm.alloca %n x f32 : (i32) -> !llvm.ptr<5>",
            "  %p = llvm.getelementptr %x[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32",
            "  %i = llvm.load volatile %p : !llvm.ptr<1> -> i32", "  %j = llvm.load volatile %p : !llvm.ptr<1> -> i32",
            "  %q = llvm.getelementptr %a[%i] : (!llvm.ptr<5>, i32) -> !llvm.ptr<5>, i32",
            "  llvm.store volatile %t, %q : i32, !llvm.ptr<5>",
            "  %r = llvm.getelementptr %a[%j] : (!llvm.ptr<5>, i32) -> !llvm.ptr<5>, i32",
            "  %v = llvm.load volatile %r : !llvm.ptr<5> -> i32", "  llvm.store %v, %p : i32, !llvm.ptr<1>"]


which = sys.argv[1]
amd = which.startswith("amd-")
which = which.removeprefix("amd-")
bodies = {"serial": (serial, "128"), "spill": (spill, "1024"), "scratch": (scratch, "64")}
make, threads = bodies[which]
# As many registers as a block of so many threads has for each, and some more.
body = make(160) if amd and which == "spill" else make()
if amd:
    body = [line.replace("nvvm.read.ptx.sreg.tid.x", "rocdl.workitem.id.x") for line in body]
    ATTRIBUTES = ATTRIBUTES.replace("moe_tile.lowered, nvvm.kernel, nvvm.reqntid = array<i32: THREADS>", "moe_tile.lowered, rocdl.kernel")
print(f"llvm.func @{which}(%x: !llvm.ptr<1>)\n    {ATTRIBUTES.replace('THREADS', threads)} {{")
print("\n".join(body + ["  llvm.return", "}"]))
print(PLAN.replace("KERNEL", which))
