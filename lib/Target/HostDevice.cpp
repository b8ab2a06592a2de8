//===- HostDevice.cpp - The machine that runs this ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bandwidth by sums over arrays that no cache holds, arithmetic by independent
// chains of fused multiply-adds that the compiler turns into vectors. What is
// not measured stays as in the data file of the CPU.
//
//===----------------------------------------------------------------------===//

#include "moec/Target/HostDevice.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <ctime>
#include <functional>
#include <thread>

using namespace mlir::moe;
using llvm::StringRef;

/// Seconds that `work(thread)` takes on so many threads, the best of three.
static double timeThreads(unsigned threads,
                          const std::function<void(unsigned)> &work) {
  double best = 1e30;
  for (int turn = 0; turn < 3; ++turn) {
    auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> pool;
    for (unsigned i = 1; i < threads; ++i)
      pool.emplace_back(work, i);
    work(0);
    for (std::thread &thread : pool)
      thread.join();
    std::chrono::duration<double> spent =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, spent.count());
  }
  return std::max(best, 1e-9);
}

Device mlir::moe::measureHost(unsigned megabytes) {
  Device device = *getDefaultDevice("cpu");
  unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  size_t words = (size_t(megabytes) << 20) / sizeof(uint64_t);
  std::vector<std::vector<uint64_t>> arrays(threads);
  std::vector<uint64_t> sums(threads);
  // The first turn touches the pages.
  for (auto &array : arrays)
    array.assign(words, 1);
  auto read = [&](unsigned thread) {
    uint64_t lanes[8] = {};
    const uint64_t *data = arrays[thread].data();
    for (size_t i = 0; i + 8 <= words; i += 8)
      for (int j = 0; j < 8; ++j)
        lanes[j] += data[i + j];
    for (uint64_t lane : lanes)
      sums[thread] += lane;
  };
  auto copy = [&](unsigned thread) {
    uint64_t *data = arrays[thread].data();
    std::copy(data, data + words / 2, data + words / 2);
  };
  auto write = [&](unsigned thread) {
    std::fill(arrays[thread].begin(), arrays[thread].end(), sums[thread] | 1);
  };
  auto multiply = [&](unsigned thread) {
    float lanes[64];
    for (int j = 0; j < 64; ++j)
      lanes[j] = float(sums[thread] % 7 + j);
    for (int i = 0; i < 1 << 18; ++i)
      for (float &lane : lanes)
        lane = lane * 0.999f + 0.5f;
    for (float lane : lanes)
      sums[thread] += uint64_t(lane);
  };
  double bytes = double(words) * sizeof(uint64_t);
  DeviceFigures &f = device.figures;
  f.computeUnits = threads;
  f.unitReadRate = bytes / timeThreads(1, read);
  f.readRate = bytes * threads / timeThreads(threads, read);
  f.copyRate = bytes * threads / timeThreads(threads, copy);
  f.writeRate = bytes * threads / timeThreads(threads, write);
  f.flops32 = 2.0 * 64 * (1 << 18) * threads / timeThreads(threads, multiply);

  char day[16] = "";
  std::time_t now = std::time(nullptr);
  std::strftime(day, sizeof day, "%Y-%m-%d", std::gmtime(&now));
  std::string source = std::string("measured on this machine, ") + day;
  for (const char *key : {"compute_units", "unit_read_rate", "read_rate",
                          "copy_rate", "write_rate", "flops32"})
    device.sources[key] = source;
  device.name = "host";
  device.product = "this machine, " + std::to_string(threads) + " threads";
  device.isDefault = false;
  return device;
}

Device mlir::moe::getHostDevice(StringRef directory) {
  llvm::SmallString<128> path(directory);
  llvm::sys::path::append(path, "host-device.json");
  double threads = std::max(1u, std::thread::hardware_concurrency());
  if (auto text = llvm::MemoryBuffer::getFile(path)) {
    llvm::Expected<Device> known = parseDevice(path, (*text)->getBuffer());
    if (known && known->figures.computeUnits == threads)
      return std::move(*known);
    llvm::consumeError(known.takeError());
  }
  Device device = measureHost();
  if (llvm::sys::fs::create_directories(directory))
    return device;
  // Complete or not at all, whoever else writes it.
  llvm::SmallString<128> part;
  int file = -1;
  if (llvm::sys::fs::createUniqueFile(path + ".%%%%%%%%", file, part))
    return device;
  llvm::raw_fd_ostream stream(file, /*shouldClose=*/true);
  stream << printDevice(device);
  stream.close();
  bool failed = stream.has_error();
  stream.clear_error();
  if (failed || llvm::sys::fs::rename(part, path))
    llvm::sys::fs::remove(part);
  return device;
}
