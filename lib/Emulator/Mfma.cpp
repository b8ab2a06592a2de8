//===- Mfma.cpp - Matrix products of AMD waves --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Every operation is a row of a table; one routine executes them all. The order
// of additions is ours: the accumulator first, then k upwards.
#include "AmdMatrix.h"
#include "Scalars.h"
#include <cmath>

using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

using T = AmdType;
static constexpr uint8_t cdna = cdna3 | cdna4;
static constexpr LaneMap m16 = LaneMap::Mfma16, m32 = LaneMap::Mfma32,
                         w11 = LaneMap::WmmaGfx11, w12 = LaneMap::WmmaGfx12;

static const AmdMatrixRow rows[] = {
    {"mfma.f32.16x16x4f32", cdna, m16, 16, 4, T::F32, T::F32, T::F32},
    {"mfma.f32.32x32x2f32", cdna, m32, 32, 2, T::F32, T::F32, T::F32},
    {"mfma.f32.16x16x8.xf32", cdna3, m16, 16, 8, T::XF32, T::XF32, T::F32},
    {"mfma.f32.32x32x4.xf32", cdna3, m32, 32, 4, T::XF32, T::XF32, T::F32},
    {"mfma.f32.16x16x16f16", cdna, m16, 16, 16, T::F16, T::F16, T::F32},
    {"mfma.f32.32x32x8f16", cdna, m32, 32, 8, T::F16, T::F16, T::F32},
    {"mfma.f32.16x16x16bf16.1k", cdna, m16, 16, 16, T::BF16, T::BF16, T::F32},
    {"mfma.f32.32x32x8bf16.1k", cdna, m32, 32, 8, T::BF16, T::BF16, T::F32},
    {"mfma.i32.16x16x32.i8", cdna, m16, 16, 32, T::I8, T::I8, T::I32},
    {"mfma.i32.32x32x16.i8", cdna, m32, 32, 16, T::I8, T::I8, T::I32},
    {"mfma.f32.16x16x32.fp8.fp8", cdna, m16, 16, 32, T::Fp8, T::Fp8, T::F32},
    {"mfma.f32.16x16x32.fp8.bf8", cdna, m16, 16, 32, T::Fp8, T::Bf8, T::F32},
    {"mfma.f32.16x16x32.bf8.fp8", cdna, m16, 16, 32, T::Bf8, T::Fp8, T::F32},
    {"mfma.f32.16x16x32.bf8.bf8", cdna, m16, 16, 32, T::Bf8, T::Bf8, T::F32},
    {"mfma.f32.32x32x16.fp8.fp8", cdna, m32, 32, 16, T::Fp8, T::Fp8, T::F32},
    {"mfma.f32.32x32x16.fp8.bf8", cdna, m32, 32, 16, T::Fp8, T::Bf8, T::F32},
    {"mfma.f32.32x32x16.bf8.fp8", cdna, m32, 32, 16, T::Bf8, T::Fp8, T::F32},
    {"mfma.f32.32x32x16.bf8.bf8", cdna, m32, 32, 16, T::Bf8, T::Bf8, T::F32},
    {"mfma.f32.16x16x32.f16", cdna4, m16, 16, 32, T::F16, T::F16, T::F32},
    {"mfma.f32.32x32x16.f16", cdna4, m32, 32, 16, T::F16, T::F16, T::F32},
    {"mfma.f32.16x16x32.bf16", cdna4, m16, 16, 32, T::BF16, T::BF16, T::F32},
    {"mfma.f32.32x32x16.bf16", cdna4, m32, 32, 16, T::BF16, T::BF16, T::F32},
    {"mfma.i32.16x16x64.i8", cdna4, m16, 16, 64, T::I8, T::I8, T::I32},
    {"mfma.i32.32x32x32.i8", cdna4, m32, 32, 32, T::I8, T::I8, T::I32},
    {"mfma.scale.f32.16x16x128.f8f6f4", cdna4, m16, 16, 128, T::Format,
     T::Format, T::F32},
    {"mfma.scale.f32.32x32x64.f8f6f4", cdna4, m32, 32, 64, T::Format, T::Format,
     T::F32},
    {"wmma.f32.16x16x16.f16", rdna3, w11, 16, 16, T::F16, T::F16, T::F32},
    {"wmma.f32.16x16x16.bf16", rdna3, w11, 16, 16, T::BF16, T::BF16, T::F32},
    {"wmma.f16.16x16x16.f16", rdna3, w11, 16, 16, T::F16, T::F16, T::F16},
    {"wmma.bf16.16x16x16.bf16", rdna3, w11, 16, 16, T::BF16, T::BF16, T::BF16},
    {"wmma.i32.16x16x16.iu8", rdna3, w11, 16, 16, T::I8, T::I8, T::I32},
    {"wmma.i32.16x16x16.iu4", rdna3, w11, 16, 16, T::I4, T::I4, T::I32},
    {"wmma.f32.16x16x16.f16", rdna4, w12, 16, 16, T::F16, T::F16, T::F32},
    {"wmma.f32.16x16x16.bf16", rdna4, w12, 16, 16, T::BF16, T::BF16, T::F32},
    {"wmma.f16.16x16x16.f16", rdna4, w12, 16, 16, T::F16, T::F16, T::F16},
    {"wmma.bf16.16x16x16.bf16", rdna4, w12, 16, 16, T::BF16, T::BF16, T::BF16},
    {"wmma.i32.16x16x16.iu8", rdna4, w12, 16, 16, T::I8, T::I8, T::I32},
    {"wmma.i32.16x16x16.iu4", rdna4, w12, 16, 16, T::I4, T::I4, T::I32},
    {"wmma.i32.16x16x32.iu4", rdna4, w12, 16, 32, T::I4, T::I4, T::I32},
    {"wmma.f32.16x16x16.fp8_fp8", rdna4, w12, 16, 16, T::Fp8, T::Fp8, T::F32},
    {"wmma.f32.16x16x16.fp8_bf8", rdna4, w12, 16, 16, T::Fp8, T::Bf8, T::F32},
    {"wmma.f32.16x16x16.bf8_fp8", rdna4, w12, 16, 16, T::Bf8, T::Fp8, T::F32},
    {"wmma.f32.16x16x16.bf8_bf8", rdna4, w12, 16, 16, T::Bf8, T::Bf8, T::F32},
};

const AmdMatrixRow *emu::findAmdMatrix(llvm::StringRef name, AmdFamily family) {
  const AmdMatrixRow *other = nullptr;
  for (const AmdMatrixRow &row : rows) {
    if (name != row.name)
      continue;
    if (row.families & family)
      return &row;
    other = &row;
  }
  return other;
}
const AmdMatrixRow &emu::getAmdMatrix(unsigned index) { return rows[index]; }
unsigned emu::countAmdMatrices() { return std::size(rows); }
unsigned emu::indexOf(const AmdMatrixRow &row) { return &row - rows; }

unsigned emu::bitsOf(AmdType type) {
  switch (type) {
  case T::F32:
  case T::XF32:
  case T::I32:
    return 32;
  case T::BF16:
  case T::F16:
    return 16;
  case T::FormatE2M3:
  case T::FormatE3M2:
    return 6;
  case T::I4:
  case T::U4:
  case T::FormatE2M1:
    return 4;
  default:
    return 8;
  }
}

//===----------------------------------------------------------------------===//
// Operands as numbers
//===----------------------------------------------------------------------===//

/// Value of each code of a format of up to 8 bits.
static std::vector<float> makeTable(AmdType type, bool fnuz) {
  unsigned bits = bitsOf(type);
  std::vector<float> table;
  for (unsigned c = 0; c < 1u << bits; ++c) {
    int sign = int(c << (32 - bits)) >> (32 - bits);
    // Small floats without NaN or infinity.
    auto small = [&](unsigned mantissa, int bias) {
      unsigned exponent = (c & ((1u << (bits - 1)) - 1)) >> mantissa;
      float m = c & ((1u << mantissa) - 1);
      float v = exponent ? std::ldexp(std::ldexp(m, -int(mantissa)) + 1,
                                      int(exponent) - bias)
                         : std::ldexp(m, 1 - bias - int(mantissa));
      return c >> (bits - 1) ? -v : v;
    };
    switch (type) {
    case T::I8:
    case T::I4:
      table.push_back(sign);
      break;
    case T::U8:
    case T::U4:
      table.push_back(c);
      break;
    case T::FormatE2M3:
      table.push_back(small(3, 1));
      break;
    case T::FormatE3M2:
      table.push_back(small(2, 3));
      break;
    case T::FormatE2M1:
      table.push_back(small(1, 1));
      break;
    default: {
      bool wideExponent = type == T::Bf8 || type == T::FormatE5M2;
      bool own = fnuz && (type == T::Fp8 || type == T::Bf8);
      table.push_back(decode(wideExponent ? own ? ElementType::F8E5M2FNUZ
                                                : ElementType::F8E5M2
                             : own        ? ElementType::F8E4M3FNUZ
                                          : ElementType::F8E4M3FN,
                             c));
    }
    }
  }
  return table;
}

static const float *tableOf(AmdType type, bool fnuz) {
  static std::vector<float> tables[2][32];
  std::vector<float> &table = tables[fnuz][unsigned(type)];
  if (table.empty())
    table = makeTable(type, fnuz);
  return table.data();
}

/// The bits of element j of each lane.
static void getCodes(Exec &x, Reg at, unsigned elementBits, unsigned bits,
                     unsigned j, uint32_t *out) {
  unsigned bit = j * bits, lanes = x.lanes;
  unsigned e = bit / elementBits, shift = bit % elementBits;
  uint32_t ones = bits == 32 ? ~0u : (1u << bits) - 1;
  if (elementBits == 64) {
    const uint64_t *v = x.at<uint64_t>(at) + e * lanes;
    for (unsigned l = 0; l < lanes; ++l)
      out[l] = v[l] >> shift & ones;
    return;
  }
  const uint32_t *v = x.at<uint32_t>(at) + e * lanes;
  if (shift + bits <= elementBits) {
    for (unsigned l = 0; l < lanes; ++l)
      out[l] = v[l] >> shift & ones;
    return;
  }
  for (unsigned l = 0; l < lanes; ++l)
    out[l] = (v[l] >> shift | v[l + lanes] << (elementBits - shift)) & ones;
}

/// Turns codes into numbers.
static void toNumbers(AmdType type, bool fnuz, unsigned lanes,
                      const uint32_t *codes, float *out) {
  switch (type) {
  case T::F32:
    std::memcpy(out, codes, lanes * 4);
    return;
  case T::XF32:
    for (unsigned l = 0; l < lanes; ++l) {
      uint32_t w = codes[l] & ~0x1FFFu;
      std::memcpy(out + l, &w, 4);
    }
    return;
  case T::BF16:
    for (unsigned l = 0; l < lanes; ++l) {
      uint32_t w = codes[l] << 16;
      std::memcpy(out + l, &w, 4);
    }
    return;
  case T::F16:
    for (unsigned l = 0; l < lanes; ++l)
      out[l] = halfToFloat(codes[l]);
    return;
  default: {
    const float *table = tableOf(type, fnuz);
    for (unsigned l = 0; l < lanes; ++l)
      out[l] = table[codes[l]];
  }
  }
}

namespace {
/// What reading one operand needs.
struct Operand {
  Reg at;
  unsigned elementBits;
  AmdType type;
  Reg scale;
  unsigned pick;
};
} // namespace

/// Fills out[k][N] from the lanes. False: the copies of gfx11 differ, in lane
/// `bad`.
static bool readOperand(Exec &x, const AmdMatrixRow &row,
                        const Operand &operand, float *out, int &bad) {
  unsigned bits = bitsOf(operand.type), n = row.n, lanes = x.lanes;
  bool copies = row.map == LaneMap::WmmaGfx11;
  unsigned count = perLane(row, lanes), groups = copies ? 1 : lanes / n;
  bool fnuz = x.machine.program.amd->family == cdna3;
  float scale[mostLanes];
  if (operand.scale != noReg) {
    const uint32_t *codes = x.at<uint32_t>(operand.scale);
    for (unsigned l = 0; l < lanes; ++l) {
      int code = codes[l] >> (8 * operand.pick) & 0xFF;
      scale[l] = code == 0xFF ? NAN : std::ldexp(1.0f, code - 127);
    }
  }
  for (unsigned j = 0; j < count; ++j) {
    uint32_t codes[mostLanes];
    float values[mostLanes];
    getCodes(x, operand.at, operand.elementBits, bits, j, codes);
    if (copies)
      for (unsigned l = 0; l < n; ++l)
        if (codes[l] != codes[l + n]) {
          bad = l + n;
          return false;
        }
    toNumbers(operand.type, fnuz, lanes, codes, values);
    if (operand.scale != noReg)
      for (unsigned l = 0; l < lanes; ++l)
        values[l] *= scale[l];
    for (unsigned q = 0; q < groups; ++q)
      std::memcpy(out + (q * count + j) * n, values + q * n, n * sizeof(float));
  }
  return true;
}

//===----------------------------------------------------------------------===//
// The product
//===----------------------------------------------------------------------===//

typedef float Four __attribute__((vector_size(16)));

/// Two rows of D, from two rows of C: s[r][:] += a[k][rowOf r] b[k][:].
template <unsigned N>
static void addProducts(const float *a, const float *b, unsigned k,
                        const unsigned (&at)[2], float *const (&s)[2]) {
  for (unsigned part = 0; part < N; part += 16) {
    Four d[2][4];
    for (unsigned r = 0; r < 2; ++r)
      std::memcpy(d[r], s[r] + part, sizeof(d[r]));
    for (unsigned kk = 0; kk < k; ++kk) {
      Four v[4];
      std::memcpy(v, b + kk * N + part, sizeof(v));
      for (unsigned r = 0; r < 2; ++r)
        for (unsigned f = 0; f < 4; ++f)
          d[r][f] += a[kk * N + at[r]] * v[f];
    }
    for (unsigned r = 0; r < 2; ++r)
      std::memcpy(s[r] + part, d[r], sizeof(d[r]));
  }
}

/// Row of element i of D in group q.
static unsigned rowOf(LaneMap map, unsigned i, unsigned q) {
  switch (map) {
  case LaneMap::Mfma16:
    return 4 * q + i;
  case LaneMap::Mfma32:
    return 8 * (i / 4) + 4 * q + i % 4;
  case LaneMap::WmmaGfx11:
    return 2 * i + q;
  case LaneMap::WmmaGfx12:
    return 8 * q + i;
  }
  return 0;
}

Step emu::execAmdMatrix(Exec &x, const Instr &i) {
  Step step;
  Machine &m = x.machine;
  LaneMask all = firstLanes(x.lanes);
  if (x.warp.lanes != all)
    return m.report(x, i, -1, Kind::PartialWarp,
                    format("needs all %u lanes, the wave has %d", x.lanes,
                           __builtin_popcountll(x.warp.lanes)));
  if (!converge(x, i, all, step))
    return step;
  ++m.statistics.matrixOps;
  const AmdMatrixRow &row = getAmdMatrix(i.imm);
  AmdMatrixOperands o;
  std::memcpy(&o, x.grid.kernel->extra.data() + i.extra, sizeof(o));
  alignas(64) float a[128 * 16], b[128 * 16], sums[32 * 32];
  int bad = -1;
  if (!readOperand(x, row, {o.a, o.bitsA, o.typeA, o.scaleA, o.pickA}, a,
                   bad) ||
      !readOperand(x, row, {o.b, o.bitsB, o.typeB, o.scaleB, o.pickB}, b, bad))
    return m.report(x, i, bad, Kind::Invalid,
                    format("holds other elements than lane %d, whose copies "
                           "they must be",
                           bad - row.n));

  unsigned n = row.n, lanes = x.lanes, groups = lanes / n;
  unsigned elements = n * n / lanes;
  bool direct = row.d == T::F32;
  bool halves = row.map == LaneMap::WmmaGfx11 && bitsOf(row.d) == 16;
  // Element e of D, of all lanes of group q.
  auto word = [&](Reg reg, unsigned e, unsigned q) {
    return x.at<uint32_t>(reg) + (halves ? 2 * e + o.upper : e) * lanes + q * n;
  };
  if (direct && i.dst != o.c)
    std::memcpy(x.at<float>(i.dst), x.at<float>(o.c), elements * lanes * 4);
  float *place[32];
  unsigned rowAt[32], next = 0;
  for (unsigned q = 0; q < groups; ++q)
    for (unsigned e = 0; e < elements; ++e, ++next) {
      rowAt[next] = rowOf(row.map, e, q);
      place[next] = direct ? reinterpret_cast<float *>(word(i.dst, e, q))
                           : sums + next * n;
      if (direct)
        continue;
      const uint32_t *old = word(o.c, e, q);
      for (unsigned c = 0; c < n; ++c)
        place[next][c] = row.d == T::I32    ? 0
                         : row.d == T::BF16 ? decodeBF16(old[c])
                                            : halfToFloat(old[c]);
    }
  for (unsigned r = 0; r < next; r += 2) {
    const unsigned at[2] = {rowAt[r], rowAt[r + 1]};
    float *const s[2] = {place[r], place[r + 1]};
    if (n == 16)
      addProducts<16>(a, b, row.k, at, s);
    else
      addProducts<32>(a, b, row.k, at, s);
  }
  if (direct)
    return Step::Next;
  next = 0;
  for (unsigned q = 0; q < groups; ++q)
    for (unsigned e = 0; e < elements; ++e, ++next) {
      const uint32_t *old = word(o.c, e, q);
      uint32_t *d = word(i.dst, e, q);
      for (unsigned c = 0; c < n; ++c) {
        float s = place[next][c];
        if (row.d == T::BF16) {
          d[c] = encodeBF16(s);
        } else if (row.d == T::F16) {
          d[c] = floatToHalf(s);
        } else {
          // Sums of at most 64 products of 8 bits are exact in f32.
          int64_t v = int64_t(int32_t(old[c])) + int64_t(s);
          if (o.clamp)
            v = std::min<int64_t>(std::max<int64_t>(v, INT32_MIN), INT32_MAX);
          d[c] = uint32_t(v);
        }
      }
      // Nobody says what the other halves become.
      if (halves)
        std::fill_n(x.at<uint32_t>(i.dst) + (2 * e + 1 - o.upper) * lanes +
                        q * n,
                    n, 0x7FFFu);
    }
  return Step::Next;
}
