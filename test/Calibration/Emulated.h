//===- Emulated.h - Probes on the emulated device ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_CALIBRATION_EMULATED_H
#define MOEC_TEST_CALIBRATION_EMULATED_H

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "moec/Calibration/Probes.h"
#include "moec/Emulator/Emulator.h"
#include "gtest/gtest.h"

#include <cstring>
#include <random>

namespace mlir::moe {

/// The probes of a target, built once for all tests of a process.
class Emulated {
public:
  static Emulated &of(StringRef target) {
    // Never destroyed: a context must not outlive the statics of its library.
    static auto &all = *new std::map<std::string, std::unique_ptr<Emulated>>;
    auto &one = all[target.str()];
    if (!one)
      one.reset(new Emulated(target));
    return *one;
  }

  /// Launches a kernel; every finding is a failure.
  void launch(StringRef kernel, uint32_t blocks, uint32_t threads,
              uint32_t shared, std::vector<emu::Argument> arguments,
              uint64_t seed = 0) {
    // A device of its own: memory of earlier launches is no longer there.
    auto emulator = cantFail(emu::Emulator::create(*probes.module));
    for (const Memory &one : memories)
      emulator->registerBuffer(one.data, one.bytes, one.name, one.initialised);
    memories.clear();
    emu::Launch launch;
    launch.kernel = kernel.str();
    launch.grid = {blocks, 1, 1};
    launch.block = {threads, 1, 1};
    launch.smem = shared;
    launch.args = std::move(arguments);
    emu::Options options;
    options.seed = seed;
    options.async = seed ? emu::AsyncMode::Random : emu::AsyncMode::Late;
    auto reports = emulator->run({launch}, options);
    if (!reports) {
      ADD_FAILURE() << kernel.str() << ": " << toString(reports.takeError());
      return;
    }
    for (const emu::Report &report : *reports)
      ADD_FAILURE() << kernel.str() << ": " << report.text;
  }

  /// Memory of the next launch, which may read it, or must write it before.
  template <typename T>
  emu::Argument memory(std::vector<T> &values, StringRef name,
                       bool initialised = true) {
    memories.push_back(
        {values.data(), values.size() * sizeof(T), name.str(), initialised});
    return emu::Argument::pointer(values.data());
  }

  ProbeSet probes;

private:
  struct Memory {
    void *data;
    uint64_t bytes;
    std::string name;
    bool initialised;
  };

  explicit Emulated(StringRef target) {
    FailureOr<ProbeSet> built = buildProbes(&context, target);
    if (failed(built))
      llvm::report_fatal_error("no probes");
    probes = std::move(*built);
    if (failed(verify(*probes.module)))
      llvm::report_fatal_error("invalid probes");
  }

  MLIRContext context;
  std::vector<Memory> memories;
};

inline emu::Argument number(int64_t value) {
  return emu::Argument::value(value);
}
inline emu::Argument word(int32_t value) { return emu::Argument::value(value); }

/// The hash by which probes choose places and make noise.
inline uint32_t mix(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

inline std::vector<uint32_t> randomWords(size_t count, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<uint32_t> words(count);
  for (uint32_t &word : words)
    word = random();
  return words;
}

} // namespace mlir::moe

#endif // MOEC_TEST_CALIBRATION_EMULATED_H
