//===- Machine.cpp - What this machine can do -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Machine.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

/// The rest of the first line of a text file that starts with `key`.
static std::string findLine(StringRef path, StringRef key) {
  auto file = llvm::MemoryBuffer::getFileAsStream(path);
  if (!file)
    return "";
  llvm::SmallVector<StringRef> lines;
  (*file)->getBuffer().split(lines, '\n');
  for (StringRef line : lines)
    if (line.consume_front(key))
      return line.ltrim(" \t:").rtrim().str();
  return "";
}

std::string mlir::moe::getProcessorName() {
  std::string name = findLine("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown" : name;
}

uint64_t mlir::moe::getLastLevelCacheBytes() {
  uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::string text = findLine(
        llvm::formatv("/sys/devices/system/cpu/cpu0/cache/index{0}/size", index)
            .str(),
        "");
    StringRef size = text;
    uint64_t value = 0;
    if (size.consumeInteger(10, value))
      continue;
    largest = std::max(largest, size == "M" ? value << 20 : value << 10);
  }
  return largest;
}

uint64_t mlir::moe::getPeakMemoryBytes() {
  std::string text = findLine("/proc/self/status", "VmHWM:");
  StringRef size = text;
  uint64_t kib = 0;
  return size.consumeInteger(10, kib) ? 0 : kib << 10;
}

//===----------------------------------------------------------------------===//
// ReadBuffer
//===----------------------------------------------------------------------===//

uint64_t ReadBuffer::getDefaultBytes() {
  uint64_t wanted = std::max<uint64_t>(4 * getLastLevelCacheBytes(), 256 << 20);
  return std::min<uint64_t>(wanted, 1 << 30);
}

Expected<ReadBuffer> ReadBuffer::create(uint64_t bytes) {
  ReadBuffer buffer;
  buffer.bytes = llvm::alignTo(bytes, 4096);
  buffer.memory = allocateArray(buffer.bytes);
  if (!buffer.memory)
    return llvm::createStringError(
        llvm::formatv("cannot allocate {0} bytes to read from", bytes));
  // Distinct pages: a page never written to is the one page of zeros.
  for (uint64_t i = 0; i < buffer.bytes / 8; ++i)
    reinterpret_cast<uint64_t *>(buffer.memory.get())[i] = i;
  return buffer;
}

#if defined(__x86_64__) && defined(__linux__)
#define MOEC_WIDEST __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define MOEC_WIDEST
#endif

/// Loads as wide as the machine has them: narrow ones would measure the core.
MOEC_WIDEST static uint64_t sumWords(const uint64_t *words, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i)
    sum += words[i];
  return sum;
}

double ReadBuffer::read(moec_pool *pool) const {
  struct Context {
    const uint64_t *words;
    uint64_t count;
    std::atomic<uint64_t> sum{0};
  } context{reinterpret_cast<const uint64_t *>(memory.get()), bytes / 8};
  auto start = std::chrono::steady_clock::now();
  moec_pool_run(
      pool,
      [](void *data, int64_t worker, int64_t workers) {
        auto *context = static_cast<Context *>(data);
        uint64_t begin = context->count * worker / workers;
        uint64_t end = context->count * (worker + 1) / workers;
        context->sum += sumWords(context->words + begin, end - begin);
      },
      &context);
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  // The sum is used, so that no compiler drops the loads.
  return context.sum == 1 ? time.count() + 1e-12 : time.count();
}

double ReadBuffer::measureBandwidth(moec_pool *pool, unsigned passes) const {
  double best = 0;
  for (unsigned pass = 0; pass < passes; ++pass)
    best = std::max(best, static_cast<double>(bytes) / read(pool));
  return best;
}

//===----------------------------------------------------------------------===//
// GuardedBuffer
//===----------------------------------------------------------------------===//

static constexpr uint8_t guardByte = 0xA5;

Expected<GuardedBuffer> GuardedBuffer::create(uint64_t bytes) {
  GuardedBuffer buffer;
  buffer.bytes = bytes;
  uint64_t total = llvm::alignTo(bytes, 64) + 2 * guardBytes;
  buffer.memory = allocateArray(total);
  if (!buffer.memory)
    return llvm::createStringError(
        llvm::formatv("cannot allocate {0} bytes", total));
  std::memset(buffer.memory.get(), guardByte, guardBytes);
  // From the last payload byte on, without a gap up to the alignment.
  std::memset(buffer.payload() + bytes, guardByte, total - guardBytes - bytes);
  buffer.poison();
  return buffer;
}

void GuardedBuffer::poison() { std::memset(payload(), 0xFF, bytes); }

Error GuardedBuffer::check(StringRef what) const {
  for (uint64_t distance = 1; distance <= guardBytes; ++distance) {
    if (payload()[-static_cast<int64_t>(distance)] != guardByte)
      return llvm::createStringError(llvm::formatv(
          "{0}: the run wrote {1} bytes before its start", what, distance));
    if (payload()[bytes + distance - 1] != guardByte)
      return llvm::createStringError(llvm::formatv(
          "{0}: the run wrote {1} bytes behind its end", what, distance));
  }
  return Error::success();
}
