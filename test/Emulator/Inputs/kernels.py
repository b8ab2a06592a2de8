#!/usr/bin/env python3
"""Prints kernels for the emulator's tests: `kernels.py gemm|gather|multicast|wgmma [name=value...]`.

A comment `// mutate: OLD => NEW` names a change that must be noticed, beside the
removal of every line that waits, orders or masks; `// equivalent: reason` says why
a change of the line cannot be.
"""

import sys

HEAD = """module attributes {{
  emu.buffers = [{buffers}],
  emu.launches = [{launches}],
  emu.checks = [{checks}]
}} {{
  llvm.mlir.global external @smem() {{addr_space = 3 : i32, alignment = 1024 : i64}} : !llvm.array<0 x i8>
"""
FENCE = "      nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}\n"
MAP = "!llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}"


def acc(n, name):
    return f"!{name} = !llvm.struct<({', '.join(['f32'] * (n // 2))})>\n"


def constants(*values):
    return "".join(f"    %c{v} = arith.constant {v} : i32\n" for v in values)


def epilogue(n, staging, store):
    """Accumulators %w (m64) to bf16 rows, 64 columns at a time, through shared memory."""
    out = f"""
      // A warp's 16 rows: lane l addresses row l % 16, 16-byte chunk l / 16.
      %row0 = arith.andi %lane, %c15 : i32
      %warpRow = arith.muli %warpInGroup, %c16 : i32
      %row = arith.addi %warpRow, %row0 : i32
      %half = arith.shrui %lane, %c4 : i32
      %rowBytes = arith.muli %row, %c128 : i32
      %swz = arith.andi %row, %c7 : i32
      %stagingAt = arith.muli %group, %c8192 : i32
      %staging0 = llvm.getelementptr %smem[{staging}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
      %staging = llvm.getelementptr %staging0[%stagingAt] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
      %rowPtr = llvm.getelementptr %staging[%rowBytes] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
      %barrier = arith.addi %group, %c1 : i32
      %isFirst = arith.cmpi eq, %inGroup, %c0 : i32
"""
    for panel in range(n // 64):
        for q in range(4):
            regs = []
            for r in range(4):
                j = panel * 8 + q * 2 + r // 2
                at = 4 * j + 2 * (r % 2)
                name = f"p{panel}_{q}_{r}"
                out += f"""      %{name}a = llvm.extractvalue %w[{at}] : !acc
      %{name}b = llvm.extractvalue %w[{at + 1}] : !acc
      %{name}v = vector.from_elements %{name}a, %{name}b : vector<2xf32>
      %{name}t = arith.truncf %{name}v : vector<2xf32> to vector<2xbf16>
      %{name} = llvm.bitcast %{name}t : vector<2xbf16> to i32
"""
                regs.append(f"%{name}")
            s = f"{panel}_{q}"
            out += f"""      %q{s} = arith.constant {2 * q} : i32
      %chunk{s} = arith.addi %q{s}, %half : i32
      %mixed{s} = arith.xori %chunk{s}, %swz : i32 // mutate: %swz => %c0
      %off{s} = arith.muli %mixed{s}, %c16 : i32
      %to{s} = llvm.getelementptr %rowPtr[%off{s}] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
      nvvm.stmatrix %to{s}, {', '.join(regs)} {{layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>}} : !llvm.ptr<3>, i32, i32, i32, i32
"""
        if store is store_panel:
            out += FENCE
        out += "      nvvm.barrier id = %barrier number_of_threads = %c128\n" + store(panel)
        if panel + 1 < n // 64:
            out += "      nvvm.barrier id = %barrier number_of_threads = %c128\n"
    return out


def store_panel(panel):
    return f"""      scf.if %isFirst {{
        %groupRow{panel} = arith.muli %group, %c64 : i32
        %pm{panel} = arith.addi %m0, %groupRow{panel} : i32
        %pn{panel} = arith.constant {panel * 64} : i32
        %nn{panel} = arith.addi %n0, %pn{panel} : i32
        nvvm.cp.async.bulk.tensor.global.shared.cta %tC, %staging, box [%nn{panel}, %pm{panel}] : !llvm.ptr, !llvm.ptr<3>
        nvvm.cp.async.bulk.commit.group
        nvvm.cp.async.bulk.wait_group 0 {{read}}
      }}
"""


def scatter_panel(panel):
    """Rows of the staged panel to rows of the output, 16 bytes per lane; rows >= limit are padding."""
    return f"""      scf.for %pass{panel} = %c0 to %c4 step %c1 : i32 {{
        %base{panel} = arith.muli %pass{panel}, %c16 : i32
        %r8{panel} = arith.shrui %inGroup, %c3 : i32
        %r{panel} = arith.addi %base{panel}, %r8{panel} : i32
        %chunkOut{panel} = arith.andi %inGroup, %c7 : i32
        %swzOut{panel} = arith.andi %r{panel}, %c7 : i32
        %mixOut{panel} = arith.xori %chunkOut{panel}, %swzOut{panel} : i32 // mutate: %swzOut{panel} => %c0
        %rb{panel} = arith.muli %r{panel}, %c128 : i32
        %cb{panel} = arith.muli %mixOut{panel}, %c16 : i32
        %fo{panel} = arith.addi %rb{panel}, %cb{panel} : i32
        %from{panel} = llvm.getelementptr %staging[%fo{panel}] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        %gr0{panel} = arith.muli %group, %c64 : i32
        %gr1{panel} = arith.addi %gr0{panel}, %r{panel} : i32
        %gr{panel} = arith.addi %gr1{panel}, %m0 : i32
        %in{panel} = arith.cmpi slt, %gr{panel}, %limit : i32 // mutate: %limit => %c1024
        scf.if %in{panel} {{
          %v{panel} = llvm.load %from{panel} {{alignment = 16 : i64}} : !llvm.ptr<3> -> vector<4xi32>
          %go{panel} = arith.muli %gr{panel}, %rowBytesOut : i32
          %co{panel} = arith.muli %chunkOut{panel}, %c16 : i32
          %po{panel} = arith.constant {panel * 128} : i32
          %g1{panel} = arith.addi %go{panel}, %co{panel} : i32
          %nb{panel} = arith.muli %n0, %c2 : i32
          %g3{panel} = arith.addi %g1{panel}, %po{panel} : i32
          %g2{panel} = arith.addi %g3{panel}, %nb{panel} : i32
          %outPtr{panel} = llvm.getelementptr %gC[%g2{panel}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
          llvm.store %v{panel}, %outPtr{panel} {{alignment = 16 : i64}} : vector<4xi32>, !llvm.ptr<1>
        }}
      }}
"""


def consumer(n, stages, stage_bytes, a_bytes, nk, extra_fence=""):
    """The k loop of a consumer warpgroup; leaves the accumulators in %w."""
    mma = lambda tag, indent, first: "".join(
        f"""{indent}%ka{tag}{i} = arith.constant {2 * i} : i64
{indent}%da{tag}{i} = arith.addi %descA{tag}, %ka{tag}{i} : i64
{indent}%db{tag}{i} = arith.addi %descB{tag}, %ka{tag}{i} : i64
{indent}%d{tag}{i + 1} = nvvm.wgmma.mma_async %da{tag}{i}, %db{tag}{i}, %d{tag}{i}, #nvvm.shape<m = 64, n = {n}, k = 16>, D [<f32>, <{'zero' if first and i == 0 else 'one'}>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
""" for i in range(4))
    descriptors = lambda tag, indent, slot: f"""{indent}%so{tag} = arith.muli {slot}, %cStage : i32
{indent}%sa{tag}0 = arith.addi %so{tag}, %groupA : i32
{indent}%sa{tag} = arith.addi %sa{tag}0, %base32 : i32
{indent}%sb{tag}0 = arith.addi %so{tag}, %cABytes : i32
{indent}%sb{tag} = arith.addi %sb{tag}0, %base32 : i32
{indent}%ea{tag} = arith.shrui %sa{tag}, %c4 : i32
{indent}%eb{tag} = arith.shrui %sb{tag}, %c4 : i32
{indent}%xa{tag} = arith.extui %ea{tag} : i32 to i64
{indent}%xb{tag} = arith.extui %eb{tag} : i32 to i64
{indent}%descA{tag} = arith.ori %xa{tag}, %descBits : i64 // mutate: %descBits => %descPlain
{indent}%descB{tag} = arith.ori %xb{tag}, %descBits : i64 // mutate: %descBits => %descPlain
"""
    return f"""
      // 128-byte swizzle, 1024 bytes between groups of 8 rows.
      %descBits = arith.constant {1 << 16 | 64 << 32 | 1 << 62} : i64
      %descPlain = arith.constant {1 << 16 | 64 << 32} : i64
      %cStage = arith.constant {stage_bytes} : i32
      %cABytes = arith.constant {a_bytes} : i32
      %groupA = arith.muli %group, %c8192 : i32
      %base32 = llvm.ptrtoint %smem : !llvm.ptr<3> to i32
      moe_nv.wait_parity %full, %c0 : !llvm.ptr<3>
{extra_fence}{descriptors('p', '      ', '%c0')}      %dp0 = llvm.mlir.undef : !acc
      nvvm.wgmma.fence.aligned
{mma('p', '      ', True)}      nvvm.wgmma.commit.group.sync.aligned
      %cNk = arith.constant {nk} : i32
      %cStages = arith.constant {stages} : i32
      %isSignal = arith.cmpi eq, %inGroup, %c0 : i32
      %loop:3 = scf.for %kb = %c1 to %cNk step %c1 iter_args(%dl0 = %dp4, %slot = %c1, %phase = %c0) -> (!acc, i32, i32) : i32 {{
        %fo = arith.muli %slot, %c8 : i32
        %fullK = llvm.getelementptr %full[%fo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        moe_nv.wait_parity %fullK, %phase : !llvm.ptr<3>
{extra_fence}{descriptors('l', '        ', '%slot')}        nvvm.wgmma.fence.aligned // equivalent: only wgmmas of one shape touch the accumulators since the fence before the loop
{mma('l', '        ', False)}        nvvm.wgmma.commit.group.sync.aligned
        nvvm.wgmma.wait.group.sync.aligned 1
        scf.if %isSignal {{
          %before = arith.subi %kb, %c1 : i32
          %prev = arith.remui %before, %cStages : i32
          %eo = arith.muli %prev, %c8 : i32
          %emptyK = llvm.getelementptr %empty[%eo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
EMPTY        }}
        %slot1 = arith.addi %slot, %c1 : i32
        %wrap = arith.cmpi eq, %slot1, %cStages : i32
        %slotN = arith.select %wrap, %c0, %slot1 : i32
        %flip = arith.xori %phase, %c1 : i32
        %phaseN = arith.select %wrap, %flip, %phase : i32
        scf.yield %dl4, %slotN, %phaseN : !acc, i32, i32
      }}
      %w = moe_nv.wgmma_wait 0 (%loop#0 : !acc)
"""


def ring(stages, indent="      "):
    return f"""{indent}%slot1 = arith.addi %slot, %c1 : i32
{indent}%cStages = arith.constant {stages} : i32
{indent}%wrap = arith.cmpi eq, %slot1, %cStages : i32
{indent}%slotN = arith.select %wrap, %c0, %slot1 : i32
{indent}%flip = arith.xori %phase, %c1 : i32
{indent}%phaseN = arith.select %wrap, %flip, %phase : i32
{indent}scf.yield %slotN, %phaseN : i32, i32
"""


def gemm(m=256, n=256, k=256, bn=128, stages=2, gather=0, rows=0, cluster=1):
    """C[m, n] = A[m, k] B[n, k]^T in tiles of 128 x bn: 2 consumer warpgroups, 1 producer warp
    (gather: 4 producer warps copy A's rows by index). cluster=2: two blocks share B by multicast."""
    rows = rows or m
    nk = k // 64
    a_bytes, b_bytes = 128 * 128, bn * 128
    stage = a_bytes + b_bytes
    staging = stages * stage
    bars = staging + 2 * 8192
    smem = bars + 16 * stages + 16
    count_full = 129 if gather else 1
    box_b = bn // cluster
    buffers = (f'{{name = "A", type = "bf16", size = {m * k}, init = "random"}}, '
               f'{{name = "B", type = "bf16", size = {n * k}, init = "random"}}, '
               f'{{name = "C", type = "bf16", size = {rows * n}, init = "none"}}')
    if gather:
        buffers += f', {{name = "rows", type = "i32", size = {rows}, init = "index", modulo = {m + 1}, low = -1, step = 7}}'
    map_a = f'{{map = "A", type = "bf16", dims = [{k}, {m}], strides = [{2 * k}], box = [64, 128], swizzle = 128}}'
    map_b = f'{{map = "B", type = "bf16", dims = [{k}, {n}], strides = [{2 * k}], box = [64, {box_b}], swizzle = 128}}'
    map_c = f'{{map = "C", type = "bf16", dims = [{n}, {rows}], strides = [{2 * n}], box = [64, 64], swizzle = 128}}'
    threads = 384 if gather else 288
    if gather:
        args = f'{{buffer = "A"}}, {{buffer = "rows"}}, {map_b}, {{buffer = "C"}}, {{i32 = {rows}}}'
        params = f"%gA: !llvm.ptr<1>, %gRows: !llvm.ptr<1>, %tB: {MAP}, %gC: !llvm.ptr<1>, %limit: i32"
    else:
        args = f"{map_a}, {map_b}, {map_c}"
        params = f"%tA: {MAP}, %tB: {MAP}, %tC: {MAP}"
    tiles_m = (rows + 127) // 128
    launches = (f'{{kernel = "gemm", grid = [{tiles_m}, {n // bn}], block = [{threads}], '
                f'cluster = [{cluster}, 1, 1], smem = {smem}, args = [{args}]}}')
    check = f'{{op = "gemm", a = "A", b = "B", c = "C", m = {rows}, n = {n}, k = {k}'
    check += ', rows = "rows"}' if gather else "}"
    out = acc(bn, "acc") + HEAD.format(buffers=buffers, launches=launches, checks=check)
    cluster_attr = f", nvvm.cluster_dim = array<i32: {cluster}, 1, 1>" if cluster > 1 else ""
    out += f"""  llvm.func @gemm({params})
      attributes {{nvvm.kernel, nvvm.reqntid = array<i32: {threads}>{cluster_attr}}} {{
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %full = llvm.getelementptr %smem[{bars}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %empty = llvm.getelementptr %smem[{bars + 8 * stages}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
{constants(0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 64, 127, 128, 1024, 8192)}    %mones = arith.constant -1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %lane = arith.andi %tid, %c31 : i32
    %warp0 = arith.shrui %tid, %c5 : i32
    %warp = nvvm.shfl.sync idx %mones, %warp0, %c0, %c31 : i32 -> i32
    %group = arith.shrui %warp, %c2 : i32
    %warpInGroup = arith.andi %warp, %c3 : i32
    %inGroup = arith.andi %tid, %c127 : i32
    %bx = nvvm.read.ptx.sreg.ctaid.x : i32
    %by = nvvm.read.ptx.sreg.ctaid.y : i32
    %cBn = arith.constant {bn} : i32
    %m0 = arith.muli %bx, %c128 : i32
    %n0 = arith.muli %by, %cBn : i32
    %cFull = arith.constant {count_full} : i32
    %cEmpty = arith.constant {2 * cluster} : i32
"""
    if cluster > 1:
        out += "    %rank = nvvm.read.ptx.sreg.cluster.ctarank : i32\n"
    if gather:
        out += f"    %rowBytesOut = arith.constant {2 * n} : i32\n"
    out += f"""    %isZero = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isZero {{
"""
    for s in range(stages):
        out += f"""      %f{s} = llvm.getelementptr %full[{8 * s}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
      %e{s} = llvm.getelementptr %empty[{8 * s}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
      nvvm.mbarrier.init %f{s}, %cFull : !llvm.ptr<3>, i32
      nvvm.mbarrier.init %e{s}, %cEmpty : !llvm.ptr<3>, i32
"""
    out += "      nvvm.fence.mbarrier.init\n    }\n"
    if cluster > 1:
        out += "    nvvm.cluster.arrive {aligned}\n    nvvm.cluster.wait {aligned}\n"
    else:
        out += "    nvvm.barrier\n"
    out += "    %isProducer = arith.cmpi uge, %warp, %c8 : i32\n    scf.if %isProducer {\n"
    wait = f"""        %bo = arith.muli %slot, %c8 : i32
        %fullK = llvm.getelementptr %full[%bo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        %emptyK = llvm.getelementptr %empty[%bo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        moe_nv.wait_parity %emptyK, %phase : !llvm.ptr<3>
        %k0 = arith.muli %kb, %c64 : i32
        %cStage = arith.constant {stage} : i32
        %so = arith.muli %slot, %cStage : i32
        %slotPtr = llvm.getelementptr %smem[%so] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        %slotB = llvm.getelementptr %slotPtr[{a_bytes}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
"""
    if gather:
        out += f"""      // Each of 128 threads copies one row of A: 8 chunks of 16 bytes, or zeros.
      %r = arith.addi %m0, %inGroup : i32
      %inside = arith.cmpi slt, %r, %limit : i32 // mutate: %limit => %c1024
      %index = scf.if %inside -> (i32) {{
        %rp = llvm.getelementptr %gRows[%r] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
        %ri = llvm.load %rp : !llvm.ptr<1> -> i32
        scf.yield %ri : i32
      }} else {{
        scf.yield %mones : i32
      }}
      %valid = arith.cmpi sge, %index, %c0 : i32
      %size = arith.select %valid, %c16, %c0 : i32 // mutate: %c0 => %c16
      %cRow = arith.constant {2 * k} : i32
      %ro = arith.muli %index, %cRow : i32
      %rowPtr = llvm.getelementptr %gA[%ro] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
      %sm = arith.andi %inGroup, %c7 : i32
      %so0 = arith.muli %inGroup, %c128 : i32
      %isB = arith.cmpi eq, %inGroup, %c0 : i32
      %cNk = arith.constant {nk} : i32
      %unused:2 = scf.for %kb = %c0 to %cNk step %c1 iter_args(%slot = %c0, %phase = %c1) -> (i32, i32) : i32 {{
{wait}        scf.if %isB {{
          %bytes = arith.constant {b_bytes} : i32
          nvvm.mbarrier.arrive.expect_tx %fullK, %bytes : !llvm.ptr<3>, i32
          %dB = llvm.addrspacecast %slotB : !llvm.ptr<3> to !llvm.ptr<7>
          nvvm.cp.async.bulk.tensor.shared.cluster.global %dB, %tB, %fullK, box [%k0, %n0] : !llvm.ptr<7>, !llvm.ptr
        }}
        %kBytes = arith.muli %k0, %c2 : i32
        %src0 = llvm.getelementptr %rowPtr[%kBytes] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
        %dst0 = llvm.getelementptr %slotPtr[%so0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        scf.for %chunk = %c0 to %c8 step %c1 : i32 {{
          %mix = arith.xori %chunk, %sm : i32 // mutate: %sm => %c0
          %do = arith.muli %mix, %c16 : i32
          %si = arith.muli %chunk, %c16 : i32
          %src = llvm.getelementptr %src0[%si] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
          %dst = llvm.getelementptr %dst0[%do] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
          nvvm.cp.async.shared.global %dst, %src, 16, cache = cg, %size : !llvm.ptr<3>, !llvm.ptr<1>, i32
        }}
        nvvm.cp.async.mbarrier.arrive %fullK {{noinc = true}} : !llvm.ptr<3>
{ring(stages, '        ')}      }}
      scf.yield
    }} else {{
"""
    else:
        load_b = f"""        nvvm.cp.async.bulk.tensor.shared.cluster.global %dB, %tB, %fullK, box [%k0, %n0] : !llvm.ptr<7>, !llvm.ptr
"""
        if cluster > 1:
            load_b = f"""        %mask = arith.constant {(1 << cluster) - 1} : i16
        %part = arith.constant {box_b} : i32
        %partBytes = arith.constant {box_b * 128} : i32
        %nr = arith.muli %rank, %part : i32
        %n1 = arith.addi %n0, %nr : i32
        %br = arith.muli %rank, %partBytes : i32
        %slotB1 = llvm.getelementptr %slotB[%br] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
        %dB1 = llvm.addrspacecast %slotB1 : !llvm.ptr<3> to !llvm.ptr<7>
        nvvm.cp.async.bulk.tensor.shared.cluster.global %dB1, %tB, %fullK, box [%k0, %n1] multicast_mask = %mask : !llvm.ptr<7>, !llvm.ptr
"""
        out += f"""      %elected = nvvm.elect.sync -> i1
      scf.if %elected {{
      %cNk = arith.constant {nk} : i32
      %unused:2 = scf.for %kb = %c0 to %cNk step %c1 iter_args(%slot = %c0, %phase = %c1) -> (i32, i32) : i32 {{
{wait}        %bytes = arith.constant {stage} : i32
        nvvm.mbarrier.arrive.expect_tx %fullK, %bytes : !llvm.ptr<3>, i32
        %dA = llvm.addrspacecast %slotPtr : !llvm.ptr<3> to !llvm.ptr<7>
        %dB = llvm.addrspacecast %slotB : !llvm.ptr<3> to !llvm.ptr<7>
        nvvm.cp.async.bulk.tensor.shared.cluster.global %dA, %tA, %fullK, box [%k0, %m0] : !llvm.ptr<7>, !llvm.ptr
{load_b}{ring(stages, '        ')}      }}
      }}
      scf.yield
    }} else {{
"""
    fence = FENCE if gather else ""
    body = consumer(bn, stages, stage, a_bytes, nk, fence)
    if cluster > 1:
        arrive = "".join(f"""          %to{r} = nvvm.mapa %emptyK, %c{r} : !llvm.ptr<3> -> !llvm.ptr<7>
          nvvm.mbarrier.arrive %to{r} : !llvm.ptr<7>
""" for r in range(cluster))
    else:
        arrive = "          %state = nvvm.mbarrier.arrive %emptyK : !llvm.ptr<3> -> i64\n"
    out += body.replace("EMPTY", arrive)
    out += epilogue(bn, staging, scatter_panel if gather else store_panel)
    out += "    }\n"
    if cluster > 1:
        out += "    nvvm.cluster.arrive {aligned}\n    nvvm.cluster.wait {aligned}\n"
    out += "    llvm.return\n  }\n}\n"
    return out


TYPES = {  # element type of buffers, of the tensor map, of wgmma, bytes, accumulator
    "bf16": ("bf16", "bf16", "bf16", 2, "f32"), "f16": ("f16", "f16", "f16", 2, "f32"), "tf32": ("f32", "f32", "tf32", 4, "f32"),
    "e4m3": ("f8E4M3FN", "u8", "e4m3", 1, "f32"), "e5m2": ("f8E5M2", "u8", "e5m2", 1, "f32"), "s8": ("i8", "u8", "s8", 1, "i32")}


def wgmma(type="bf16", swizzle=128, n=32, ta=0, tb=0, steps=0):
    """One warpgroup: C[64, n] = A[64, k] B[n, k]^T from tiles that TMA has laid out. ta, tb: the operand lies
    with its rows contiguous ([k, 64] and [k, n]; 128-byte swizzle, 16-bit types)."""
    element, map_type, mma_type, size, result = TYPES[type]
    span = swizzle or 16
    k_step = 32 // size
    k = k_step * (steps or max(1, span // 32))
    if not swizzle:
        k = 2 * k_step

    def operand(name, rows, transposed, base):
        """Map arguments, copies as (offset, x, y), descriptor bits, and bytes per k step."""
        if transposed:
            box = [64, k]
            copies = [(base + c * k * 128, c * 64, 0) for c in range((rows + 63) // 64)]
            bits = (k * 128 >> 4) << 16 | (1024 >> 4) << 32 | 1 << 62
            step = 16 // 8 * 1024 >> 4
            dims, strides = [rows, k], [rows * size]
        else:
            box = [span // size, rows]
            copies = [(base + c * rows * span, c * span // size, 0) for c in range(k * size // span)]
            mode = {128: 1, 64: 2, 32: 3, 0: 0}[swizzle]
            leading = rows * 16 if not swizzle else 16
            bits = (leading >> 4) << 16 | (8 * span >> 4) << 32 | mode << 62
            step = 2 if swizzle else 2 * rows * 16 >> 4
            dims, strides = [k, rows], [k * size]
        nbytes = len(copies) * box[0] * box[1] * size
        argument = (f'{{map = "{name}", type = "{map_type}", dims = {dims}, strides = {strides}, box = {box}, '
                    f'swizzle = {swizzle}}}')
        # Two's complement: bit 63 may be set.
        bits -= 1 << 64 if bits >> 63 else 0
        return argument, copies, bits, step, nbytes

    base_b = 16384
    arg_a, copies_a, bits_a, step_a, bytes_a = operand("A", 64, ta, 0)
    arg_b, copies_b, bits_b, step_b, bytes_b = operand("B", n, tb, base_b)
    init = 'init = "random", low = -50, modulo = 100'
    buffers = (f'{{name = "A", type = "{element}", size = {64 * k}, {init}}}, '
               f'{{name = "B", type = "{element}", size = {n * k}, {init}}}, '
               f'{{name = "C", type = "{result}", size = {64 * n}, init = "none"}}')
    launches = f'{{kernel = "wgmma", grid = [1], block = [128], smem = 66560, args = [{arg_a}, {arg_b}, {{buffer = "C"}}]}}'
    check = f'{{op = "gemm", a = "A", b = "B", c = "C", m = 64, n = {n}, k = {k}, ta = {ta}, tb = {tb}}}'
    out = f"!acc = !llvm.struct<({', '.join([result] * (n // 2))})>\n"
    out += HEAD.format(buffers=buffers, launches=launches, checks=check)
    out += f"""  llvm.func @wgmma(%tA: {MAP}, %tB: {MAP}, %gC: !llvm.ptr<1>) attributes {{nvvm.kernel}} {{
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[65536] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
{constants(0, 1, 2, 3, 4, 5, 8, 16, 31)}    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %isZero = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isZero {{
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      %bytes = arith.constant {bytes_a + bytes_b} : i32
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
"""
    for name, copies in (("A", copies_a), ("B", copies_b)):
        for i, (offset, x, y) in enumerate(copies):
            out += f"""      %p{name}{i} = llvm.getelementptr %smem[{offset}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
      %d{name}{i} = llvm.addrspacecast %p{name}{i} : !llvm.ptr<3> to !llvm.ptr<7>
      %x{name}{i} = arith.constant {x} : i32
      %y{name}{i} = arith.constant {y} : i32
      nvvm.cp.async.bulk.tensor.shared.cluster.global %d{name}{i}, %t{name}, %bar, box [%x{name}{i}, %y{name}{i}] : !llvm.ptr<7>, !llvm.ptr
"""
    out += f"""    }}
    nvvm.barrier
    moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    %base = llvm.ptrtoint %smem : !llvm.ptr<3> to i64
    %cFour = arith.constant 4 : i64
    %start = arith.shrui %base, %cFour : i64
    %cB = arith.constant {base_b >> 4} : i64
    %startB = arith.addi %start, %cB : i64
    %bitsA = arith.constant {bits_a} : i64
    %bitsB = arith.constant {bits_b} : i64
    %descA = arith.ori %start, %bitsA : i64
    %descB = arith.ori %startB, %bitsB : i64
    %acc0 = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
"""
    for i in range(k // k_step):
        out += f"""    %ka{i} = arith.constant {i * step_a} : i64
    %kb{i} = arith.constant {i * step_b} : i64
    %da{i} = arith.addi %descA, %ka{i} : i64
    %db{i} = arith.addi %descB, %kb{i} : i64
    %acc{i + 1} = nvvm.wgmma.mma_async %da{i}, %db{i}, %acc{i}, #nvvm.shape<m = 64, n = {n}, k = {k_step}>, D [<{'s32' if result == 'i32' else 'f32'}>, <{'one' if i else 'zero'}>], A [<{mma_type}>, <one>, <{'col' if ta else 'row'}>], B [<{mma_type}>, <one>, <{'row' if tb else 'col'}>] : !acc -> !acc
"""
    out += f"""    nvvm.wgmma.commit.group.sync.aligned
    %w = moe_nv.wgmma_wait 0 (%acc{k // k_step} : !acc)
    %warp = arith.shrui %tid, %c5 : i32
    %lane = arith.andi %tid, %c31 : i32
    %g = arith.shrui %lane, %c2 : i32
    %t = arith.andi %lane, %c3 : i32
    %r0 = arith.muli %warp, %c16 : i32
    %r = arith.addi %r0, %g : i32
    %cN = arith.constant {n} : i32
    %rn = arith.muli %r, %cN : i32
    %t2 = arith.muli %t, %c2 : i32
    %at = arith.addi %rn, %t2 : i32
    %p = llvm.getelementptr %gC[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, {result}
"""
    for r in range(n // 2):
        offset = r // 4 * 8 + r // 2 % 2 * 8 * n + r % 2
        out += f"""    %v{r} = llvm.extractvalue %w[{r}] : !acc
    %q{r} = llvm.getelementptr %p[{offset}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, {result}
    llvm.store %v{r}, %q{r} : {result}, !llvm.ptr<1>
"""
    return out + "    llvm.return\n  }\n}\n"


KERNELS = {"wgmma": wgmma,
           "gemm": gemm,
           "gather": lambda **o: gemm(**{"gather": 1, **o}),
           "multicast": lambda **o: gemm(**{"cluster": 2, **o})}

if __name__ == "__main__":
    options = {k: int(v) if v.isdigit() else v for k, v in (o.split("=") for o in sys.argv[2:])}
    sys.stdout.write(KERNELS[sys.argv[1]](**options))
