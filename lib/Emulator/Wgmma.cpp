//===- Wgmma.cpp - Warpgroup matrix products ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Each warp multiplies its 16 rows of A by all of B. The product is computed
// when the operation is issued; that its operands are untouched and its result
// unread until the wait is the shadow's business, not the schedule's.
#include "Ops.h"
#include "Scalars.h"
#include "moec/Support/ElementType.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

namespace {
/// A matrix descriptor of wgmma.
struct Descriptor {
  uint32_t start, leading, stride;
  unsigned swizzle; ///< 0 none, 1 128, 2 64, 3 32 bytes
  unsigned baseOffset;

  explicit Descriptor(uint64_t bits)
      : start((bits & 0x3FFF) << 4), leading((bits >> 16 & 0x3FFF) << 4),
        stride((bits >> 32 & 0x3FFF) << 4), swizzle(bits >> 62),
        baseOffset(bits >> 49 & 7) {}

  unsigned span() const {
    return swizzle == 0 ? 16 : swizzle == 1 ? 128 : swizzle == 2 ? 64 : 32;
  }
  uint32_t permute(uint32_t address) const {
    switch (swizzle) {
    case 1:
      return address ^ (address >> 3 & 0x70);
    case 2:
      return address ^ (address >> 3 & 0x30);
    case 3:
      return address ^ (address >> 3 & 0x10);
    default:
      return address;
    }
  }
  /// Place of the 16 bytes with k bytes [16 chunk, 16 chunk + 16) of row `row`,
  /// the reduction dimension contiguous.
  uint32_t kMajor(unsigned row, unsigned chunk) const {
    if (swizzle == 0)
      return start + row % 8 * 16 + row / 8 * stride + chunk * leading;
    return permute(start + row % 8 * span() + row / 8 * stride + chunk * 16);
  }
  /// Place of the 16 bytes with rows [8 chunk, 8 chunk + 8) of 16-bit elements
  /// at reduction index k, the row dimension contiguous.
  uint32_t rowMajor(unsigned chunk, unsigned k) const {
    if (swizzle == 0)
      return start + k % 8 * 16 + k / 8 * leading + chunk * stride;
    unsigned perSpan = span() / 16;
    return permute(start + k % 8 * span() + k / 8 * stride +
                   chunk / perSpan * leading + chunk % perSpan * 16);
  }
};

unsigned bitsOf(MatType type) {
  switch (type) {
  case MatType::BF16:
  case MatType::F16:
    return 16;
  case MatType::TF32:
    return 32;
  default:
    return 8;
  }
}

/// 16 bytes as numbers; integers are exact in f32.
void decode16(MatType type, const uint8_t *bytes, float *out) {
  switch (type) {
  case MatType::BF16:
    for (unsigned e = 0; e < 8; ++e)
      out[e] = decodeBF16(bytes[2 * e] | bytes[2 * e + 1] << 8);
    return;
  case MatType::F16:
    for (unsigned e = 0; e < 8; ++e)
      out[e] = halfToFloat(bytes[2 * e] | bytes[2 * e + 1] << 8);
    return;
  case MatType::TF32:
    for (unsigned e = 0; e < 4; ++e) {
      // The low 13 bits do not take part.
      uint32_t w;
      std::memcpy(&w, bytes + 4 * e, 4);
      w &= ~0x1FFFu;
      std::memcpy(out + e, &w, 4);
    }
    return;
  case MatType::S8:
    for (unsigned e = 0; e < 16; ++e)
      out[e] = int8_t(bytes[e]);
    return;
  case MatType::U8:
    for (unsigned e = 0; e < 16; ++e)
      out[e] = bytes[e];
    return;
  default:
    for (unsigned e = 0; e < 16; ++e)
      out[e] = fp8ToFloat(type == MatType::E5M2, bytes[e]);
  }
}

typedef float Four __attribute__((vector_size(16)));

/// Column 8j + 2t + e of B lies at (2j + e) * 4 + t, so that the four lanes of
/// a fragment's row read four neighbours.
unsigned permuted(unsigned column) {
  return (column / 8 * 2 + column % 2) * 4 + column % 8 / 2;
}

/// Rows of one operand in shared memory.
struct Reader {
  Exec &x;
  const Instr &i;
  Descriptor d;
  MatType type;
  bool transposed;
  unsigned k;
  uint32_t sequence;
  std::vector<uint32_t> *writes;

  /// The 16 bytes at `address`, checked; null if refused.
  const uint8_t *chunk(uint32_t address) {
    Bytes at = x.machine.resolveShared(x, i, -1, address, 16, 16);
    if (!at.host)
      return nullptr;
    x.machine.shadowAsyncRead(x.warp, -1, i.place, *at.block, at.offset, 16,
                              x.warp.wgmma.agent, sequence, writes);
    return at.host;
  }

  /// Calls put(row, k, value) for rows [first, first + rows).
  template <typename F> bool read(unsigned first, unsigned rows, F put) {
    float v[16];
    unsigned perChunk = 128 / bitsOf(type);
    if (!transposed) {
      for (unsigned r = first; r < first + rows; ++r)
        for (unsigned c = 0; c < k / perChunk; ++c) {
          const uint8_t *bytes = chunk(d.kMajor(r, c));
          if (!bytes)
            return false;
          decode16(type, bytes, v);
          for (unsigned e = 0; e < perChunk; ++e)
            put(r - first, c * perChunk + e, v[e]);
        }
      return true;
    }
    for (unsigned kk = 0; kk < k; ++kk)
      for (unsigned r = first; r < first + rows; r += 8) {
        const uint8_t *bytes = chunk(d.rowMajor(r / 8, kk));
        if (!bytes)
          return false;
        decode16(type, bytes, v);
        for (unsigned e = 0; e < 8; ++e)
          put(r - first + e, kk, v[e]);
      }
    return true;
  }
};

/// acc[16 rows][n] += A[16][k] * B[k][n], fragments as the lanes hold them:
/// register (4j + 2h + e) of lane (4g + t) is row g + 8h, column 8j + 2t + e.
void multiply(float *acc, const float *a, const float *b, unsigned n,
              unsigned k) {
  for (unsigned jb = 0; jb < n / 4; ++jb) {
    unsigned j = jb / 2, e = jb % 2;
    for (unsigned h = 0; h < 2; ++h) {
      auto *d = reinterpret_cast<Four *>(acc + (4 * j + 2 * h + e) * 32);
      Four s[8];
      for (unsigned g = 0; g < 8; ++g)
        s[g] = d[g];
      for (unsigned kk = 0; kk < k; ++kk) {
        Four bv;
        std::memcpy(&bv, b + kk * n + jb * 4, sizeof(bv));
        const float *av = a + kk * 16 + h * 8;
        for (unsigned g = 0; g < 8; ++g)
          s[g] += av[g] * bv;
      }
      for (unsigned g = 0; g < 8; ++g)
        d[g] = s[g];
    }
  }
}
} // namespace

/// Whether the swizzle pattern starts where the descriptor says.
static std::string checkDescriptor(const Descriptor &d, const char *which) {
  if (d.baseOffset)
    return format("base offset %u of descriptor %s is not executed",
                  d.baseOffset, which);
  unsigned repeat = d.swizzle ? d.span() * 8 : 16;
  // Steps along k stay within the first row of the pattern.
  if (d.swizzle && d.start % repeat >= d.span())
    return format("start 0x%x of descriptor %s is not in the first row of a "
                  "pattern of %u bytes",
                  d.start, which, repeat);
  return "";
}

Step emu::execWgmma(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, allLanes, step))
    return step;
  Machine &m = x.machine;
  unsigned k = i.imm & 0xFFFF, n = i.imm >> 40 & 0xFFFF;
  auto typeA = static_cast<MatType>(i.imm >> 16 & 0xFF);
  auto typeB = static_cast<MatType>(i.imm >> 24 & 0xFF);
  auto typeD = static_cast<MatType>(i.imm >> 32 & 0xFF);
  if (x.warp.id / 4 * 4 + 4 > x.block.warps.size())
    return m.report(x, i, -1, Kind::PartialWarp,
                    "needs a warpgroup of four warps");
  if (x.warp.needsWgmmaFence)
    m.report(x, i, -1, Kind::MissingWait,
             "without wgmma.fence since the kernel's start or the last read of "
             "accumulators");
  AsyncStream &stream = x.warp.wgmma;
  uint32_t sequence = ++stream.issued;
  stream.lastPlace = i.place;
  ++m.statistics.matrixOps;

  bool registers = i.flags & wgmmaRegisters;
  uint64_t bitsA = registers ? 0 : x.at<uint64_t>(i.b)[0];
  uint64_t bitsB = x.at<uint64_t>(i.c)[0];
  for (unsigned l = 1; l < lanesPerWarp; ++l)
    if ((!registers && x.at<uint64_t>(i.b)[l] != bitsA) ||
        x.at<uint64_t>(i.c)[l] != bitsB)
      return m.report(x, i, l, Kind::Invalid,
                      "has descriptors that differ between lanes");
  if (registers)
    bitsB += 2 * (i.flags >> wgmmaStepShift);
  Descriptor da(bitsA), db(bitsB);
  std::string wrong = registers ? "" : checkDescriptor(da, "A");
  if (wrong.empty())
    wrong = checkDescriptor(db, "B");
  if (!wrong.empty())
    return m.report(x, i, -1, Kind::Invalid, wrong);

  Warpgroup &group = x.block.warpgroups[x.warp.id / 4];
  bool isFirst = sequence - group.first >= group.records.size();
  if (isFirst) {
    group.records.emplace_back();
    WgmmaRecord &record = group.records.back();
    record.descriptorA = bitsA;
    record.descriptorB = bitsB;
    record.place = i.place;
    record.b.resize(k * n);
    Reader reader{x,
                  i,
                  db,
                  typeB,
                  bool(i.flags & wgmmaTransB),
                  k,
                  sequence,
                  &record.writes};
    float sign = i.flags & wgmmaNegB ? -1 : 1;
    if (!reader.read(0, n, [&](unsigned row, unsigned kk, float v) {
          record.b[kk * n + permuted(row)] = sign * v;
        }))
      return Step::Stop;
    llvm::sort(record.writes);
    record.writes.erase(std::unique(record.writes.begin(), record.writes.end()),
                        record.writes.end());
  }
  WgmmaRecord &record = group.records[sequence - group.first];
  if (record.descriptorA != bitsA || record.descriptorB != bitsB ||
      record.place != i.place)
    return m.report(x, i, -1, Kind::Invalid,
                    "differs from what another warp of the warpgroup executes");
  if (!isFirst)
    for (uint32_t write : record.writes)
      if (!m.orderedForAsync(x.warp, -1, i.place, x.block,
                             db.start - sharedBase, write))
        break;

  std::vector<float> a(16 * k);
  std::vector<uint32_t> writes;
  Reader reader{x, i,        da,     typeA, bool(i.flags & wgmmaTransA),
                k, sequence, &writes};
  float sign = i.flags & wgmmaNegA ? -1 : 1;
  if (registers) {
    // Register r of lane 4 g + t: row g + 8 (r mod 2), columns 8 (r div 2) +
    // 2 t and + 1.
    const uint32_t *list = x.grid.kernel->extra.data() + i.extra;
    for (unsigned r = 0; r < 4; ++r) {
      const uint32_t *words = x.at<uint32_t>(list[r]);
      for (unsigned l = 0; l < lanesPerWarp; ++l)
        for (unsigned e = 0; e < 2; ++e) {
          uint16_t half = words[l] >> (16 * e);
          unsigned row = l / 4 + 8 * (r % 2), kk = 8 * (r / 2) + l % 4 * 2 + e;
          a[kk * 16 + row] =
              typeA == MatType::BF16 ? decodeBF16(half) : halfToFloat(half);
        }
    }
  } else if (!reader.read(x.warp.id % 4 * 16, 16,
                          [&](unsigned row, unsigned kk, float v) {
                            a[kk * 16 + row] = sign * v;
                          })) {
    return Step::Stop;
  }

  unsigned fields = n / 2;
  float *d = x.at<float>(i.dst);
  if (typeD == MatType::F32) {
    if (!(i.flags & wgmmaScaleD))
      std::memset(d, 0, fields * 128);
    else if (i.dst != i.a)
      std::memcpy(d, x.at<float>(i.a), fields * 128);
    multiply(d, a.data(), record.b.data(), n, k);
  } else {
    // Integer sums of 8-bit products over k <= 32 are exact in f32; halves are
    // rounded once per instruction.
    std::vector<float> sum(fields * 32);
    multiply(sum.data(), a.data(), record.b.data(), n, k);
    uint32_t *out = x.at<uint32_t>(i.dst);
    const uint32_t *old = x.at<uint32_t>(i.a);
    bool scale = i.flags & wgmmaScaleD;
    if (typeD == MatType::S32)
      for (unsigned w = 0; w < fields * 32; ++w)
        out[w] = uint32_t(int32_t(sum[w])) + (scale ? old[w] : 0);
    else
      // f16: two columns per register.
      for (unsigned r = 0; r < fields / 2; ++r)
        for (unsigned l = 0; l < lanesPerWarp; ++l) {
          uint32_t was = scale ? old[r * 32 + l] : 0, now = 0;
          for (unsigned e = 0; e < 2; ++e)
            now |= uint32_t(floatToHalf(halfToFloat(was >> (16 * e)) +
                                        sum[(2 * r + e) * 32 + l]))
                   << (16 * e);
          out[r * 32 + l] = now;
        }
  }
  x.warp.accumulators[i.dst] = sequence;
  if (++record.seen == 4)
    while (!group.records.empty() && group.records.front().seen == 4) {
      group.records.pop_front();
      ++group.first;
    }
  return m.stopped ? Step::Stop : Step::Next;
}

Step emu::execWgmmaFence(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, allLanes, step))
    return step;
  x.warp.needsWgmmaFence = false;
  return Step::Next;
}

Step emu::execWgmmaCommit(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, allLanes, step))
    return step;
  x.warp.wgmma.commits.push_back(x.warp.wgmma.issued);
  return Step::Next;
}

Step emu::execWgmmaWait(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, allLanes, step))
    return step;
  AsyncStream &stream = x.warp.wgmma;
  if (stream.commits.size() > i.imm) {
    // The product is the warpgroup's: it is not done before all four warps have
    // brought their rows.
    uint32_t upTo = stream.commits[stream.commits.size() - 1 - i.imm];
    for (unsigned w = x.warp.id / 4 * 4, e = w + 4; w < e; ++w)
      if (x.block.warps[w]->wgmma.issued < upTo) {
        if (x.machine.explain)
          x.self().reason =
              format("warp %u to execute wgmma number %u", w, upTo);
        return Step::Wait;
      }
  }
  while (stream.commits.size() > i.imm) {
    stream.waited = std::max(stream.waited, stream.commits.front());
    stream.commits.pop_front();
  }
  x.warp.knows.order.raise(stream.agent, stream.waited);
  if (i.flags & 1)
    x.warp.needsWgmmaFence = true;
  return Step::Next;
}

Step emu::execCheckAccumulator(Exec &x, const Instr &i) {
  auto it = x.warp.accumulators.find(i.a);
  if (it == x.warp.accumulators.end())
    return Step::Next;
  if (it->second > x.warp.wgmma.waited)
    return x.machine.report(
        x, i, -1, Kind::MissingWait,
        format(
            "reads an accumulator while wgmma number %u is in flight (%u have "
            "been waited for)",
            it->second, x.warp.wgmma.waited));
  x.warp.accumulators.erase(it);
  return Step::Next;
}
