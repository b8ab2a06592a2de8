# RUN: %python %s %moec_src
"""test/support/isa_mix.py on loops whose counts are known."""

import subprocess
import sys

TEXT = """
k:
\ts_load_b64 s[0:1], s[2:3], 0x0
.LBB0_1:
\tglobal_load_b128 v[0:3], v4, s[0:1]
.LBB0_2:
\ts_barrier
\tds_store_b128 v4, v[0:3]
\ts_barrier
\tds_load_b128 v[8:11], v4 ; a comment
\tds_load_2addr_b64 v[12:15], v4 offset1:1
\tv_wmma_f32_16x16x16_bf16 v[16:23], v[8:15], v[8:15], v[16:23]
\tv_wmma_f32_16x16x16_bf16 v[24:31], v[8:15], v[8:15], v[24:31]
\tglobal_load_b64 v[0:1], v4, s[0:1]
\ts_cbranch_scc0 .LBB0_2
\tscratch_load_b32 v0, off, s32
\ts_cbranch_scc0 .LBB0_1
\ts_endpgm
.Lfunc_end0:
plain:
\ts_endpgm
.Lfunc_end1:
\t.wavefront_size: 32
"""

done = subprocess.run([sys.executable, sys.argv[1] + "/test/support/isa_mix.py"], input=TEXT, text=True,
                      capture_output=True, check=True)
# 2 x 8192 flops by 32 lanes x 32 bytes.
expected = ("k v_wmma_f32_16x16x16_bf16 2 per step; LDS 2 loads of 16 bytes, 16.0 flops/byte; "
            "memory 1 loads of 8 bytes; scratch 1\n")
assert done.stdout == expected, done.stdout

# Moves between accumulators and other registers, within the loop alone.
sys.path.append(sys.argv[1] + "/test/support")
import isa_mix  # noqa: E402

MOVES = """
k:
\tv_accvgpr_write_b32 a0, v0
.LBB0_1:
\tv_mfma_f32_16x16x16_bf16 a[0:3], v[0:1], v[2:3], a[0:3]
\tv_accvgpr_read_b32 v4, a0
\tv_accvgpr_write_b32 a0, v4
\ts_cbranch_scc0 .LBB0_1
.Lfunc_end0:
"""
((_, loop),) = isa_mix.main_loops(MOVES)
assert (loop["moves"], loop["matrix"]) == (2, 1), loop
