//===- CudaSupport.h - What the tests of GPU layers share -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_RUNTIME_CUDASUPPORT_H
#define MOEC_TEST_RUNTIME_CUDASUPPORT_H

#include "FakeCuda/FakeCuda.h"
#include "Support.h"

namespace moec::test {

/// Text of test/Runtime/Inputs/gpu.json.
std::string gpuManifest();

/// What describes the kernels of gpu.json to the fake driver.
extern const char *const gpuKernels;

/// A file that the run time takes for a whole one of this machine, around a
/// text; and the machine of cubins.
std::string elfOf(const std::string &text, int machine);
std::string cubinOf(const std::string &text);

/// Tests against a fake driver, which every one finds in its first state.
class GpuTest : public ::testing::Test {
protected:
  GpuTest(const char *library, const char *target);
  ~GpuTest() override;

  /// Opens the artifact; the status is the test's to look at.
  moec_status open(const char *target = nullptr);
  /// Opens it and forgets the calls that this took.
  void mustOpen(const char *target = nullptr);

  const char *library, *target;
  fake::Driver &fake;
  Directory artifact;
  Layer layer;
};

/// Against the fake CUDA driver.
class CudaTest : public GpuTest {
protected:
  CudaTest();

  /// An artifact with this manifest and the kernels as gpu.cubin and gpu.ptx.
  void write(const std::string &manifest);
};

/// Arguments of one run of gpu.json, at addresses of the fake driver.
struct GpuRun {
  explicit GpuRun(int64_t tokens);
  moec_status run(const moec_layer *layer, moec_run_stats *stats = nullptr);

  int64_t tokens;
  std::vector<int64_t> rows, ids, weights, bias;
  std::vector<moec_tensor> tensors;
  uint64_t workspace = fake::firstAddress + 0x900000;
  uint64_t workspaceBytes = 1 << 24;
  uintptr_t stream = 0x5000;
  uint64_t deviceTokens = 0;
  /// Launches to enqueue; all of them if `count` is negative.
  int32_t first = 0, count = -1;
};

} // namespace moec::test

#endif // MOEC_TEST_RUNTIME_CUDASUPPORT_H
