//===- FakeCuda.h - A CUDA driver that only keeps a diary -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A shared library with the driver's entry points that the run time uses. It
// refuses what the driver would refuse and writes down every call; nothing is
// computed. Addresses in [firstAddress, lastAddress) count as the GPU's.
//
// A code object is an image whose text (ELF) or comments (PTX) describe its
// kernels, one a line:
//   kernel NAME params 8,8,128,4 threads 1024 static 0
// One without descriptions takes every kernel, and its parameters are unknown.
//
// From the environment, when the library is loaded: MOEC_FAKE_CUDA, a list such
// as "devices=2,capability=80,fail=cuLaunchKernelEx:2:719" (see
// Settings::read), and MOEC_FAKE_CUDA_LOG, a file that every call is appended
// to.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_RUNTIME_FAKECUDA_H
#define MOEC_TEST_RUNTIME_FAKECUDA_H

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace moec::fake {

constexpr uint64_t firstAddress = uint64_t(1) << 36;
constexpr uint64_t lastAddress = uint64_t(1) << 42;

struct Settings {
  int devices = 1;
  /// 90 for 9.0.
  int capability = 90;
  /// Of a fake HIP.
  std::string arch = "gfx942:sramecc+:xnack-";
  int multiprocessors = 132;
  int clusters = 66;
  int blocksPerMultiprocessor = 1;
  int pageable = 0;
  /// Result of cuInit.
  int init = 0;
  /// The failAt-th call of this function, counted from 1, returns failCode.
  std::string failFunction;
  int failAt = 0;
  int failCode = 0;
  /// Calls that are illegal during a stream capture fail.
  bool capturing = false;
  /// Write nothing down.
  bool quiet = false;

  /// Reads "name=value,...", where fail is FUNCTION:AT:CODE.
  void read(const char *text);
};

/// One per process, from moec_fake_cuda(). Virtual functions, since a test that
/// opened the library at run time cannot link to others.
struct Driver {
  virtual ~Driver() = default;
  std::mutex mutex;
  Settings settings;
  /// "cuLaunchKernelEx kernel=up grid=[1, 1, 1] ...".
  std::vector<std::string> calls;
  /// Of the function failFunction, since reset().
  int failCalls = 0;
  std::atomic<int> maps{0};
  std::atomic<int> modules{0};
  std::atomic<int> retained{0};
  std::atomic<int> pushed{0};

  /// Back to the beginning; modules and contexts that exist stay valid.
  virtual void reset();
  /// The calls whose text begins like this.
  virtual std::vector<std::string> callsOf(const std::string &prefix);
};

} // namespace moec::fake

extern "C" __attribute__((visibility("default"))) moec::fake::Driver *
moec_fake_cuda();

#endif // MOEC_TEST_RUNTIME_FAKECUDA_H
