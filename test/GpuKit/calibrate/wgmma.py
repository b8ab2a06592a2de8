# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the kernels that repeat one wgmma instruction: wgmma.py > wgmma.inc

Every warp group multiplies the same operands in shared memory again and again, four steps of one
128-byte row at a time, as a product does. N is the column side; A stands in shared memory, or for
`rs` in registers.
"""

WIDTHS = (8, 16, 32, 64, 128, 256)


def kernel(kind, n, rs):
    k, suffix, tail = (16, "bf16.bf16", "1, 1, 1, 0, 0") if kind == "bf16" else (32, "e4m3.e4m3", "1, 1, 1")
    if rs:
        tail = "1, 1, 1, 0" if kind == "bf16" else tail
    count = n // 2
    accumulators = ", ".join(f"%{i}" for i in range(count))
    a = "{%s}" % ", ".join(f"%{count + i}" for i in range(4)) if rs else f"%{count}"
    b = f"%{count + (4 if rs else 1)}"
    name = f"wgmma_{kind}_n{n}_{'rs' if rs else 'ss'}"
    inputs = ('"r"(r0), "r"(r1), "r"(r2), "r"(r3)' if rs else '"l"(a + 2 * step)') + ', "l"(b + 2 * step)'
    outputs = ", ".join(f'"+f"(c[{i}])' for i in range(count))
    registers = "".join(f"  unsigned r{i} = shared[threadIdx.x + {128 * i}];\n" for i in range(4)) if rs else ""
    return f"""extern "C" __global__ void __launch_bounds__({256 if n > 128 else 512}) {name}(int rounds, float *out) {{
  extern __shared__ __align__(1024) unsigned shared[];
  for (int i = threadIdx.x; i < SHARED_WORDS; i += blockDim.x) shared[i] = pattern_{kind}(i);
  __syncthreads();
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  float c[{count}];
  #pragma unroll
  for (int i = 0; i < {count}; ++i) c[i] = 0;
  unsigned long long a = descriptor(shared, (threadIdx.x / 128) * 8192), b = descriptor(shared, 32768);
{registers}  for (int round = 0; round < rounds; ++round) {{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    #pragma unroll
    for (int step = 0; step < 4; ++step)
      asm volatile("wgmma.mma_async.sync.aligned.m64n{n}k{k}.f32.{suffix} {{{accumulators}}}, {a}, {b}, {tail};" : {outputs} : {inputs});
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
  }}
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  float sum = 0;
  #pragma unroll
  for (int i = 0; i < {count}; ++i) sum += c[i];
  if (sum == 12345.0f) out[threadIdx.x] = sum;
}}
"""


def main():
    table = []
    for kind in ("bf16", "fp8"):
        for n in WIDTHS:
            for rs in (False, True):
                if rs and n < 32:
                    continue
                print(kernel(kind, n, rs))
                table.append((kind, n, rs))
    print("static const WgmmaKernel wgmmaKernels[] = {")
    for kind, n, rs in table:
        place = "rs" if rs else "ss"
        print(f'    {{"{kind}", {n}, "{place}", {16 if kind == "bf16" else 32}, wgmma_{kind}_n{n}_{place}}},')
    print("};")


main()
