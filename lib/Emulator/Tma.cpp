//===- Tma.cpp - Copies by tensor map -------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AsyncSupport.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

unsigned emu::bytesOf(MapType type) {
  switch (type) {
  case MapType::U8:
    return 1;
  case MapType::U16:
  case MapType::F16:
  case MapType::BF16:
    return 2;
  case MapType::U32:
  case MapType::I32:
  case MapType::F32:
  case MapType::TF32:
    return 4;
  default:
    return 8;
  }
}

static unsigned spanOf(MapSwizzle swizzle) {
  return swizzle == MapSwizzle::None ? 0
                                     : 16u << static_cast<unsigned>(swizzle);
}

std::string emu::checkTensorMap(const TensorMap &map) {
  using ull = unsigned long long;
  if (map.magic != TensorMap::magicValue)
    return "the 128 bytes hold no tensor map";
  if (map.rank < 1 || map.rank > 5)
    return format("rank %u is not in [1, 5]", map.rank);
  if (map.address % 16)
    return format("the tensor's address is not a multiple of 16");
  if (map.interleave)
    return format("interleave %u is not executed", map.interleave);
  for (unsigned d = 0; d < map.rank; ++d) {
    if (map.dims[d] == 0 || map.dims[d] > (uint64_t(1) << 32))
      return format("dimension %u has %llu elements", d, (ull)map.dims[d]);
    if (map.box[d] == 0 || map.box[d] > 256)
      return format("box %u has %u elements, not in [1, 256]", d, map.box[d]);
    if (map.elementStrides[d] != 1)
      return format("element stride %u of dimension %u is not executed",
                    map.elementStrides[d], d);
    if (d &&
        (map.strides[d - 1] % 16 || map.strides[d - 1] >= (uint64_t(1) << 40)))
      return format("stride %llu of dimension %u is not a multiple of 16 below "
                    "2^40",
                    (ull)map.strides[d - 1], d);
  }
  unsigned inner = map.box[0] * bytesOf(map.type);
  if (inner % 16)
    return format("the box's innermost %u bytes are not a multiple of 16",
                  inner);
  unsigned span = spanOf(map.swizzle);
  if (span && inner > span)
    return format("the box's innermost %u bytes exceed the swizzle of %u",
                  inner, span);
  if (span && inner < span)
    return format("a box of %u innermost bytes under a swizzle of %u is not "
                  "executed",
                  inner, span);
  return "";
}

/// The place of byte `address` of shared memory under a swizzle.
static uint32_t swizzled(MapSwizzle swizzle, uint32_t address) {
  switch (swizzle) {
  case MapSwizzle::None:
    return address;
  case MapSwizzle::B32:
    return address ^ (address >> 3 & 0x10);
  case MapSwizzle::B64:
    return address ^ (address >> 3 & 0x30);
  case MapSwizzle::B128:
    return address ^ (address >> 3 & 0x70);
  }
  return address;
}

namespace {
/// One box: its innermost rows, in the order of shared memory.
struct Box {
  TensorMap map;
  int64_t at[5] = {};
  unsigned rowBytes = 0, rows = 1, element = 1;

  uint32_t bytes() const { return rowBytes * rows; }

  /// Calls f(row, address, begin, end): bytes [begin, end) of the row lie in
  /// the tensor, the first of them at global address `address`. begin == end:
  /// none.
  template <typename F> void eachRow(F f) const {
    for (unsigned r = 0; r < rows; ++r) {
      unsigned rest = r;
      bool inside = true;
      uint64_t address = map.address;
      for (unsigned d = 1; d < map.rank; ++d) {
        int64_t c = at[d] + rest % map.box[d];
        rest /= map.box[d];
        inside &= c >= 0 && c < int64_t(map.dims[d]);
        address += c * int64_t(map.strides[d - 1]);
      }
      int64_t first = std::max<int64_t>(at[0], 0);
      int64_t last = std::min<int64_t>(at[0] + map.box[0], map.dims[0]);
      if (!inside || last <= first) {
        f(r, uint64_t(0), 0u, 0u);
        continue;
      }
      f(r, address + first * element, unsigned(first - at[0]) * element,
        unsigned(last - at[0]) * element);
    }
  }
};
} // namespace

/// Reads the map of a lane and its coordinates.
static bool openBox(Exec &x, const Instr &i, unsigned lane, Reg mapReg,
                    const uint32_t *coordinates, Box &box) {
  Bytes at =
      x.machine.resolve(x, i, lane, 0, x.at<uint64_t>(mapReg)[lane], 128, 64);
  if (!at.host)
    return false;
  std::memcpy(&box.map, at.host, sizeof(TensorMap));
  std::string wrong = checkTensorMap(box.map);
  if (wrong.empty() && i.count != box.map.rank)
    wrong = format("%u coordinates for a tensor map of rank %u", i.count,
                   box.map.rank);
  if (!wrong.empty()) {
    x.machine.report(x, i, lane, Kind::Invalid, wrong);
    return false;
  }
  box.element = bytesOf(box.map.type);
  box.rowBytes = box.map.box[0] * box.element;
  for (unsigned d = 0; d < box.map.rank; ++d) {
    box.at[d] = int32_t(x.at<uint32_t>(coordinates[d])[lane]);
    if (d)
      box.rows *= box.map.box[d];
  }
  return true;
}

/// Copies a row between linear bytes and swizzled shared memory.
static void swizzleRow(uint8_t *shared, MapSwizzle swizzle, uint32_t offset,
                       uint8_t *linear, unsigned bytes, bool toShared) {
  // Permuted in chunks of 16 bytes.
  for (unsigned b = 0; b < bytes; b += 16) {
    uint32_t place = swizzled(swizzle, offset + b + sharedBase) - sharedBase;
    if (toShared)
      std::memcpy(shared + place, linear + b, 16);
    else
      std::memcpy(linear + b, shared + place, 16);
  }
}

/// One element outside the tensor.
static void fillRow(const Box &box, uint8_t *row) {
  if (!box.map.fillNan) {
    std::memset(row, 0, box.rowBytes);
    return;
  }
  uint64_t nan = box.map.type == MapType::F16    ? 0x7FFF
                 : box.map.type == MapType::BF16 ? 0x7FFF
                 : box.map.type == MapType::F64  ? 0x7FFFFFFFFFFFFFFFull
                                                 : 0x7FFFFFFF;
  for (unsigned b = 0; b < box.rowBytes; b += box.element)
    std::memcpy(row + b, &nan, box.element);
}

/// Whether nobody has written any of these bytes. A box may hold rows that no
/// token has; what stands there is copied like all else, and a result that
/// depends on it shows it.
static bool isUntouched(const Bytes &at, uint64_t bytes) {
  if (!at.buffer || at.buffer->written.empty())
    return false;
  for (uint64_t b = at.bufferOffset; b < at.bufferOffset + bytes; ++b)
    if (at.buffer->written[b / 8] >> (b % 8) & 1)
      return false;
  return true;
}

Step emu::execTmaLoad(Exec &x, const Instr &i) {
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Box box;
    std::vector<Destination> to;
    if (!openBox(x, i, l, i.b, extra, box) ||
        !openDestination(x, i, l, i.flags, x.at<uint64_t>(i.a)[l], i.c,
                         box.bytes(), 128, extra[i.count], to))
      return;
    // Bounds of the buffer behind the tensor, now; the data when it lands.
    auto rows = std::make_shared<std::vector<const uint8_t *>>();
    box.eachRow([&](unsigned, uint64_t address, unsigned begin, unsigned end) {
      rows->push_back(nullptr);
      if (begin == end || x.machine.stopped)
        return;
      Bytes from = x.machine.resolveGlobal(x, i, l, address, end - begin, 1);
      if (!from.host)
        return;
      if (!isUntouched(from, end - begin))
        x.machine.noteRead(x, i, l, from, end - begin);
      rows->back() = from.host;
    });
    if (x.machine.stopped)
      return;
    AsyncOp op;
    op.place = i.place;
    op.block = &x.block;
    op.warp = x.warp.id;
    op.complete = [=](Machine &m) {
      uint8_t line[2048];
      box.eachRow([&](unsigned r, uint64_t, unsigned begin, unsigned end) {
        if (end - begin < box.rowBytes)
          fillRow(box, line);
        if (end > begin)
          std::memcpy(line + begin, (*rows)[r], end - begin);
        for (const Destination &d : to)
          swizzleRow(d.block->shared.data(), box.map.swizzle,
                     d.offset + r * box.rowBytes, line, box.rowBytes, true);
      });
      for (const Destination &d : to)
        arriveBytes(m, d, box.bytes());
    };
    x.machine.submit(std::move(op));
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

static Scalar elementOf(MapType type) {
  switch (type) {
  case MapType::F16:
    return {Scalar::F16, 16};
  case MapType::BF16:
    return {Scalar::BF16, 16};
  case MapType::F32:
  case MapType::TF32:
    return {Scalar::F32, 32};
  case MapType::F64:
    return {Scalar::F64, 64};
  default:
    return {Scalar::Int, uint8_t(bytesOf(type) * 8)};
  }
}

Step emu::execTmaStore(Exec &x, const Instr &i) {
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Machine &m = x.machine;
    Box box;
    if (!openBox(x, i, l, i.a, extra, box))
      return;
    Bytes from =
        m.resolveShared(x, i, l, x.at<uint64_t>(i.b)[l], box.bytes(), 128);
    if (!from.host)
      return;
    AsyncStream &stream = bulkStream(x, l);
    uint32_t sequence = ++stream.issued;
    stream.lastPlace = i.place;
    m.shadowAsyncRead(x.warp, l, i.place, *from.block, from.offset, box.bytes(),
                      stream.agent, sequence, nullptr);
    bool add = i.imm;
    auto rows = std::make_shared<std::vector<uint8_t *>>();
    box.eachRow([&](unsigned, uint64_t address, unsigned begin, unsigned end) {
      rows->push_back(nullptr);
      if (begin == end || m.stopped)
        return;
      Bytes to = m.resolveGlobal(x, i, l, address, end - begin, 1);
      if (!to.host)
        return;
      if (add)
        m.globalAtomic(x.warp, l, i.place, *to.buffer, to.bufferOffset,
                       end - begin);
      else
        m.globalWrite(x.warp, l, i.place, *to.buffer, to.bufferOffset,
                      end - begin, stream.writeAgent, sequence);
      rows->back() = to.host;
    });
    if (m.stopped)
      return;
    Block *block = from.block;
    uint32_t offset = from.offset;
    AsyncOp op;
    op.place = i.place;
    op.block = &x.block;
    op.warp = x.warp.id;
    op.stream = stream.writeAgent;
    op.sequence = sequence;
    op.complete = [=](Machine &) {
      uint8_t line[2048];
      box.eachRow([&](unsigned r, uint64_t, unsigned begin, unsigned end) {
        if (end == begin)
          return;
        swizzleRow(block->shared.data(), box.map.swizzle,
                   offset + r * box.rowBytes, line, box.rowBytes, false);
        if (add)
          addElements(elementOf(box.map.type), (*rows)[r], line + begin,
                      (end - begin) / box.element);
        else
          std::memcpy((*rows)[r], line + begin, end - begin);
      });
    };
    m.submit(std::move(op));
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}
