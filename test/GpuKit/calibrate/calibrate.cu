//===- calibrate.cu - What an sm_90a GPU does, for its device file --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Prints one JSON object: bandwidth of memory by access pattern and number of
// busy multiprocessors, of the second-level cache, rates of wgmma by type, width
// and number of warp groups, costs of launches, latencies. Needs a driver only.
//
//   python3 wgmma.py > wgmma.inc && nvcc -O3 -std=c++17 -arch=sm_90a calibrate.cu -o calibrate
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include <functional>
#include <string>
#include <vector>

#define CHECK(call)                                                            \
  do {                                                                         \
    cudaError_t status = (call);                                               \
    if (status != cudaSuccess) {                                               \
      std::fprintf(stderr, "calibrate: %s: %s\n", #call,                       \
                   cudaGetErrorString(status));                                \
      std::exit(1);                                                            \
    }                                                                          \
  } while (0)

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

#define SHARED_WORDS (96 * 1024 / 4)

__device__ unsigned mix(unsigned x) {
  x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu;
  return x ^ (x >> 16);
}
/// Two bf16, four e4m3 of ordinary sizes and both signs.
__device__ unsigned pattern_bf16(unsigned i) {
  unsigned r = mix(i);
  return (r & 0x807f807fu) | 0x3f003f00u | ((r >> 3) & 0x00800080u);
}
__device__ unsigned pattern_fp8(unsigned i) {
  return (mix(i) & 0x8f8f8f8fu) | 0x30303030u;
}
/// Rows of 128 bytes, swizzled by 128, eight rows apart 1024 bytes.
__device__ unsigned long long descriptor(const void *base, int offset) {
  unsigned address = unsigned(__cvta_generic_to_shared(base)) + offset;
  return (unsigned long long)((address & 0x3ffff) >> 4) | (1ull << 16) |
         ((unsigned long long)(1024 >> 4) << 32) | (1ull << 62);
}

struct WgmmaKernel {
  const char *type;
  int n;
  const char *place;
  int k;
  void (*kernel)(int, float *);
};
#include "wgmma.inc"

extern "C" __global__ void fill(uint4 *p, size_t count) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count; i += size_t(gridDim.x) * blockDim.x)
    p[i] = make_uint4(mix(unsigned(i)), mix(unsigned(i) + 7), mix(unsigned(i) + 11), mix(unsigned(i) + 13));
}

extern "C" __global__ void __launch_bounds__(512) readPlain(const uint4 *p, size_t count, unsigned *out) {
  uint4 s = make_uint4(0, 0, 0, 0);
  size_t stride = size_t(gridDim.x) * blockDim.x;
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  for (; i + 7 * stride < count; i += 8 * stride) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldcs(p + i + j * stride);
#pragma unroll
    for (int j = 0; j < 8; ++j) { s.x ^= v[j].x; s.y ^= v[j].y; s.z ^= v[j].z; s.w ^= v[j].w; }
  }
  if ((s.x ^ s.y ^ s.z ^ s.w) == 0x12345678u) out[0] = s.x;
}
extern "C" __global__ void __launch_bounds__(512) copyPlain(const uint4 *p, uint4 *q, size_t count) {
  size_t stride = size_t(gridDim.x) * blockDim.x;
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = __ldcs(p + i + j * stride);
#pragma unroll
    for (int j = 0; j < 4; ++j) __stcs(q + i + j * stride, v[j]);
  }
}
extern "C" __global__ void __launch_bounds__(512) writePlain(uint4 *q, size_t count) {
  size_t stride = size_t(gridDim.x) * blockDim.x;
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count; i += stride)
    __stcs(q + i, make_uint4(unsigned(i), 1, 2, 3));
}
/// Rows of `row` 16-byte pieces at hashed places, one warp a row; `write`: to there.
extern "C" __global__ void __launch_bounds__(512) gatherRows(uint4 *p, size_t rows, int row, size_t reads, unsigned *out, int write) {
  unsigned s = 0;
  int lane = threadIdx.x % 32;
  size_t warps = size_t(gridDim.x) * (blockDim.x / 32);
  for (size_t r = blockIdx.x * size_t(blockDim.x / 32) + threadIdx.x / 32; r < reads; r += warps) {
    size_t at = (size_t(mix(unsigned(r))) * rows) >> 32;
    uint4 *source = p + at * row;
    if (write) {
      for (int i = lane; i < row; i += 32) source[i] = make_uint4(unsigned(r), 1, 2, 3);
      continue;
    }
#pragma unroll 4
    for (int i = lane; i < row; i += 32) { uint4 v = __ldcs(source + i); s ^= v.x ^ v.y ^ v.z ^ v.w; }
  }
  if (s == 0x12345678u) out[0] = s;
}

__device__ void barrierWait(uint64_t *barrier, unsigned parity) {
  unsigned at = unsigned(__cvta_generic_to_shared(barrier)), done = 0;
  while (!done)
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(done) : "r"(at), "r"(parity) : "memory");
}
/// Bulk copies of `piece` bytes into a ring of `slots` in shared memory, as the
/// rings of the products do. `total` bytes of a window of `window`, which every block reads
/// from another place on.
extern "C" __global__ void readBulk(const char *p, size_t window, size_t total, int piece, int slots) {
  extern __shared__ __align__(1024) char slot[];
  __shared__ uint64_t full[64];
  if (threadIdx.x != 0) return;
  for (int i = 0; i < slots; ++i)
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(unsigned(__cvta_generic_to_shared(full + i))));
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  size_t pieces = total / piece, windowPieces = window / piece;
  size_t mine = (pieces - blockIdx.x + gridDim.x - 1) / gridDim.x;
  auto start = [&](size_t i) {
    size_t at = ((blockIdx.x + i * gridDim.x) % windowPieces) * piece;
    unsigned barrier = unsigned(__cvta_generic_to_shared(full + i % slots));
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(piece) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(unsigned(__cvta_generic_to_shared(slot + (i % slots) * piece))), "l"(p + at), "r"(piece), "r"(barrier) : "memory");
  };
  for (size_t i = 0; i < mine && i < size_t(slots); ++i) start(i);
  for (size_t i = 0; i < mine; ++i) {
    barrierWait(full + i % slots, (i / slots) & 1);
    if (i + slots < mine) start(i + slots);
  }
}
extern "C" __global__ void chase(const unsigned *p, int steps, unsigned *out, long long *cycles) {
  unsigned at = 0;
  long long begin = clock64();
  for (int i = 0; i < steps; ++i) at = __ldcg(p + at);
  *cycles = clock64() - begin;
  *out = at;
}
extern "C" __global__ void fillChase(unsigned *p, unsigned lines) {
  // A walk of odd stride over lines of 128 bytes.
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < lines; i += gridDim.x * blockDim.x)
    p[size_t(i) * 32] = unsigned((size_t(i) + 7919u) % lines) * 32;
}
extern "C" __global__ void __launch_bounds__(1024) readShared(int rounds, unsigned *out) {
  extern __shared__ uint4 words[];
  for (int i = threadIdx.x; i < 4096; i += blockDim.x) words[i] = make_uint4(i, 1, 2, 3);
  __syncthreads();
  unsigned s = 0;
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int j = 0; j < 4; ++j) { uint4 v = words[(threadIdx.x + j * 1024 + r) & 4095]; s += v.x ^ v.y ^ v.z ^ v.w; }
  }
  if (s == 0x12345678u) out[0] = s;
}
extern "C" __global__ void empty() {}
extern "C" __global__ void __launch_bounds__(384) emptyDependent(int early) {
  if (early) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

//===----------------------------------------------------------------------===//
// Timing
//===----------------------------------------------------------------------===//

static cudaStream_t stream;
static cudaEvent_t first, last;

static double onceMs(const std::function<void()> &run) {
  CHECK(cudaEventRecord(first, stream));
  run();
  CHECK(cudaEventRecord(last, stream));
  CHECK(cudaEventSynchronize(last));
  CHECK(cudaGetLastError());
  float ms = 0;
  CHECK(cudaEventElapsedTime(&ms, first, last));
  return ms;
}
/// Median of `count` runs in seconds, after two that do not count.
static double median(const std::function<void()> &run, int count = 7) {
  onceMs(run);
  onceMs(run);
  std::vector<double> times;
  for (int i = 0; i < count; ++i) times.push_back(onceMs(run) * 1e-3);
  std::sort(times.begin(), times.end());
  return times[count / 2];
}

static bool comma = false;
static void print(const std::string &name, double value) {
  std::printf("%s\n  \"%s\": %.6g", comma ? "," : "", name.c_str(), value);
  std::fflush(stdout);
  comma = true;
}

static void launchChain(int count, bool dependent, int early, int blocks) {
  for (int i = 0; i < count; ++i) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(384);
    config.stream = stream;
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = dependent && i ? 1 : 0;
    CHECK(cudaLaunchKernelEx(&config, emptyDependent, early));
  }
}
/// Seconds per kernel of a captured chain.
static double chainCost(bool dependent, int early, int blocks) {
  auto run = [&](int count) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    launchChain(count, dependent, early, blocks);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    double seconds = median([&] { CHECK(cudaGraphLaunch(exec, stream)); }, 15);
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    return seconds;
  };
  return (run(102) - run(2)) / 100;
}

int main() {
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  int clock = 0, units = device.multiProcessorCount;
  CHECK(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, 0));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaEventCreate(&first));
  CHECK(cudaEventCreate(&last));
  std::printf("{\n  \"device\": \"%s\"", device.name);
  comma = true;
  print("units", units);
  print("clock_hz", clock * 1e3);
  print("l2_bytes", device.l2CacheSize);
  print("registers", device.regsPerMultiprocessor);
  print("shared_bytes", double(device.sharedMemPerBlockOptin));

  size_t size = size_t(4) << 30;
  char *a, *b;
  unsigned *out;
  CHECK(cudaMalloc(&a, size));
  CHECK(cudaMalloc(&b, size));
  CHECK(cudaMalloc(&out, 1 << 20));
  fill<<<1024, 512, 0, stream>>>((uint4 *)a, size / 16);
  fill<<<1024, 512, 0, stream>>>((uint4 *)b, size / 16);
  double seconds;

  print("empty_event_pair_s", median([] {}, 15));
  for (int blocks : {1, units}) {
    std::string tail = "_s.blocks" + std::to_string(blocks);
    print("launch" + tail, chainCost(false, 0, blocks));
    print("dependent_launch_late" + tail, chainCost(true, 0, blocks));
    print("dependent_launch_early" + tail, chainCost(true, 1, blocks));
  }

  seconds = median([&] { readPlain<<<units * 4, 512, 0, stream>>>((uint4 *)a, size / 16, out); });
  print("read_plain", size / seconds);
  seconds = median([&] { copyPlain<<<units * 4, 512, 0, stream>>>((uint4 *)a, (uint4 *)b, size / 16); });
  print("copy_plain", 2.0 * size / seconds);
  seconds = median([&] { writePlain<<<units * 4, 512, 0, stream>>>((uint4 *)b, size / 16); });
  print("write_plain", size / seconds);
  for (int bytes : {256, 512, 1024, 2048, 4096, 8192, 16384}) {
    size_t reads = (size_t(1) << 30) / bytes;
    for (int write : {0, 1}) {
      seconds = median([&] { gatherRows<<<units * 4, 512, 0, stream>>>((uint4 *)b, size / bytes, bytes / 16, reads, out, write); });
      print((write ? "scatter.row" : "gather.row") + std::to_string(bytes), double(reads) * bytes / seconds);
    }
  }

  int shared = 192 * 1024 + 16384;
  CHECK(cudaFuncSetAttribute(readBulk, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  for (int blocks : {1, 2, 4, 8, 16, 24, 32, 48, 66, 99, units}) {
    size_t total = std::min(size, size_t(blocks) << 26);
    seconds = median([&] { readBulk<<<blocks, 32, shared, stream>>>(a, size, total, 16384, 12); });
    print("read_bulk.units" + std::to_string(blocks), total / seconds);
  }
  // Bytes in flight: the ring.
  for (int slots : {1, 2, 3, 4, 6, 8, 10, 12}) {
    seconds = median([&] { readBulk<<<units, 32, shared, stream>>>(a, size, size, 16384, slots); });
    print("read_bulk.ring" + std::to_string(slots * 16) + "k", size / seconds);
  }
  // How short a read may be: what a grid of one piece per block takes.
  for (size_t megabytes : {1, 4, 16, 48, 128, 512}) {
    size_t total = megabytes << 20;
    static size_t place = 0;
    seconds = median([&] {
      place = (place + (size_t(1) << 29)) % size;
      readBulk<<<units, 32, shared, stream>>>(a + std::min(place, size - total), total, total, 16384, 12);
    }, 9);
    print("read_bulk_once_s.mb" + std::to_string(megabytes), seconds);
  }
  for (int megabytes : {2, 8, 16, 24, 32, 40, 48, 64}) {
    size_t window = size_t(megabytes) << 20, total = size_t(8) << 30;
    seconds = median([&] { readBulk<<<units, 32, shared, stream>>>(a, window, total, 16384, 12); });
    print("l2_bulk.mb" + std::to_string(megabytes), total / seconds);
  }
  for (int blocks : {1, 8, 33, 66, units}) {
    size_t total = size_t(blocks) << 26;
    seconds = median([&] { readBulk<<<blocks, 32, shared, stream>>>(a, size_t(16) << 20, total, 16384, 12); });
    print("l2_bulk.units" + std::to_string(blocks), total / seconds);
  }

  long long *cycles;
  CHECK(cudaMallocManaged(&cycles, 8));
  for (size_t bytes : {size_t(4) << 20, size_t(1) << 30}) {
    unsigned lines = unsigned(bytes / 128);
    fillChase<<<1024, 256, 0, stream>>>((unsigned *)b, lines);
    chase<<<1, 1, 0, stream>>>((unsigned *)b, 20000, out, cycles);
    chase<<<1, 1, 0, stream>>>((unsigned *)b, 20000, out, cycles);
    CHECK(cudaStreamSynchronize(stream));
    print("latency_cycles.mb" + std::to_string(bytes >> 20), *cycles / 20000.0);
  }
  CHECK(cudaFuncSetAttribute(readShared, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536));
  seconds = median([&] { readShared<<<units, 1024, 65536, stream>>>(20000, out); });
  print("shared_read_bytes_per_second", units * 20000.0 * 4 * 1024 * 16 / seconds);

  for (const WgmmaKernel &k : wgmmaKernels) {
    int bytes = SHARED_WORDS * 4;
    CHECK(cudaFuncSetAttribute(k.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    for (int groups : {1, 2, 4}) {
      if (groups == 4 && k.n > 128) continue;
      int rounds = 65536 / std::max(k.n / 32, 1);
      seconds = median([&] { k.kernel<<<units, 128 * groups, bytes, stream>>>(rounds, (float *)out); }, 5);
      double flops = 2.0 * 64 * k.n * k.k * 4 * rounds * groups * units;
      print(std::string("wgmma.") + k.type + ".n" + std::to_string(k.n) + "." + k.place + ".groups" + std::to_string(groups), flops / seconds);
    }
  }
  std::printf("\n}\n");
  return 0;
}
