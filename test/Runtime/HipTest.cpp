//===- HipTest.cpp - Layers on AMD GPUs, against a fake HIP ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaSupport.h"
#include "GpuLayer.h"

#include <filesystem>

using namespace moec::test;
using Calls = std::vector<std::string>;

namespace {

const char *const amdKernels =
    "kernel align params 8,8,4,8 threads 256 static 128\n"
    "kernel up params 8,8,8,8 threads 256 static 18432\n"
    "kernel down params 8,8,8 threads 64 static 0\n"
    "kernel whole params 8,8,4 threads 256 static 0\n";

std::string hsacoOf(const std::string &text) { return elfOf(text, 224); }

class Hip : public GpuTest {
protected:
  Hip() : GpuTest(MOEC_FAKE_HIP_LIBRARY, "hip") { write(manifest()); }
  static std::string manifest() { return contentOf(TOY_INPUTS "/hip.json"); }
  void write(const std::string &text) {
    artifact.write("manifest.json", text);
    artifact.write("amd.hsaco", hsacoOf(amdKernels));
    artifact.write("rdna.hsaco", hsacoOf(amdKernels));
    artifact.write("gpu.cubin", cubinOf(amdKernels));
  }
  void expect(moec_status status, const Calls &parts,
              const char *target = "hip") {
    expectError(open(target), status, parts);
    EXPECT_EQ(fake.modules, 0);
  }
  void failAt(const char *function, int at, int code) {
    fake.settings.failFunction = function;
    fake.settings.failAt = at;
    fake.settings.failCode = code;
  }
};

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

TEST_F(Hip, LaunchesWhatTheManifestSays) {
  mustOpen();
  EXPECT_STREQ(moec_layer_target(layer.get()), "hip:0");
  GpuRun run(5);
  run.deviceTokens = moec::fake::firstAddress + 0x800000;
  moec_run_stats stats = {};
  stats.struct_size = sizeof(stats);
  ASSERT_EQ(run.run(layer.get(), &stats), MOEC_OK) << moec_last_error();
  EXPECT_EQ(stats.variant, 0);
  EXPECT_EQ(stats.launches, 3);
  EXPECT_EQ(fake.callsOf("hipMemset"),
            (Calls{"hipMemsetD8Async 0x1000900000 value=0 bytes=36 "
                   "stream=0x5000"}));
  // A kernel that may start early starts in order, one whose blocks must all
  // run is launched by a function of its own.
  EXPECT_EQ(
      fake.callsOf("hipModuleLaunch"),
      (Calls{"hipModuleLaunchKernel kernel=align grid=[1, 1, 1] block=[256, 1, "
             "1] smem=0 stream=0x5000 device=0 params=(8:0x1000200000, "
             "8:0x1000900000, 4:0x5, 8:0x1000800000)",
             "hipModuleLaunchKernel kernel=up grid=[264, 1, 1] block=[256, 1, "
             "1] smem=1024 stream=0x5000 device=0 params=(8:0x1000100000, "
             "8:0x1000300000, 8:0x1000400000, 8:0x1000900080)",
             "hipModuleLaunchCooperativeKernel kernel=down grid=[1, 2, 1] "
             "block=[64, 1, 1] smem=0 stream=0x5000 device=0 "
             "params=(8:0x1000900080, 8:0x1000500000, 8:0x5)"}));
  // The second time nobody asks again where the memory is.
  fake.calls.clear();
  ASSERT_EQ(run.run(layer.get()), MOEC_OK) << moec_last_error();
  EXPECT_EQ(fake.callsOf("hipPointerGetAttribute"), Calls{});
  EXPECT_EQ(fake.callsOf("hipModuleLaunch").size(), 3u);
}

TEST_F(Hip, LoadsOnceAndOnlyItsChip) {
  ASSERT_EQ(open(), MOEC_OK) << moec_last_error();
  EXPECT_EQ(fake.callsOf("hipModuleLoadData"),
            Calls{"hipModuleLoadData device=0"});
  for (auto [index, runnable] : {std::pair(0, 1), {1, 1}, {2, 0}, {3, 0}}) {
    moec_variant_info info = {};
    info.struct_size = sizeof(info);
    ASSERT_EQ(moec_variant(layer.get(), index, &info), MOEC_OK);
    EXPECT_EQ(info.runnable, runnable) << index;
  }
  int32_t index;
  ASSERT_EQ(moec_select_variant(layer.get(), 16, &index), MOEC_OK);
  EXPECT_EQ(index, 0);
  ASSERT_EQ(moec_select_variant(layer.get(), 17, &index), MOEC_OK);
  EXPECT_EQ(index, 1);
  // The modes behind the chip's name decide nothing.
  for (const char *arch : {"gfx1100", "gfx1100:"}) {
    fake.settings.arch = arch;
    ASSERT_EQ(open(), MOEC_OK) << moec_last_error();
    ASSERT_EQ(moec_select_variant(layer.get(), 16, &index), MOEC_OK);
    EXPECT_EQ(index, 2) << arch;
  }
}

TEST_F(Hip, AnotherDeviceIsCurrentOnlyMeanwhile) {
  fake.settings.devices = 3;
  ASSERT_EQ(open("hip:2"), MOEC_OK) << moec_last_error();
  EXPECT_EQ(fake.callsOf("hipModuleLoadData"),
            Calls{"hipModuleLoadData device=2"});
  EXPECT_EQ(fake.callsOf("hipSetDevice"),
            (Calls{"hipSetDevice 2", "hipSetDevice 0"}));
  fake.calls.clear();
  ASSERT_EQ(GpuRun(20).run(layer.get()), MOEC_OK) << moec_last_error();
  EXPECT_EQ(fake.callsOf("hipSetDevice"),
            (Calls{"hipSetDevice 2", "hipSetDevice 0"}));
  EXPECT_NE(fake.callsOf("hipModuleLaunch")[0].find("device=2"),
            std::string::npos);
  fake.calls.clear();
  // It cannot be made current.
  failAt("hipSetDevice", 1, 719);
  fake.failCalls = 0;
  expectError(GpuRun(20).run(layer.get()), MOEC_ERR_DEVICE,
              {"amd: hipCtxPushCurrent: hipErrorLaunchFailure (719)"});
  EXPECT_EQ(fake.callsOf("hipModuleLaunch"), Calls{});
}

TEST_F(Hip, NothingBreaksACapture) {
  mustOpen();
  fake.settings.capturing = true;
  EXPECT_EQ(GpuRun(5).run(layer.get()), MOEC_OK) << moec_last_error();
  EXPECT_EQ(GpuRun(0).run(layer.get()), MOEC_OK) << moec_last_error();
}

//===----------------------------------------------------------------------===//
// What goes wrong with a run
//===----------------------------------------------------------------------===//

TEST_F(Hip, LaunchesThatFail) {
  mustOpen();
  failAt("hipModuleLaunchKernel", 2, 719);
  expectError(GpuRun(5).run(layer.get()), MOEC_ERR_DEVICE,
              {"amd: launch 2 of 3, kernel 'up', grid [264, 1, 1]: "
               "hipErrorLaunchFailure (719): as the test wants it"});
  EXPECT_EQ(fake.callsOf("hipModuleLaunch").size(), 2u);
  failAt("hipModuleLaunchCooperativeKernel", 1, 1);
  fake.failCalls = 0;
  expectError(GpuRun(5).run(layer.get()), MOEC_ERR_DEVICE,
              {"launch 3 of 3, kernel 'down'", "hipErrorInvalidValue (1)"});
  failAt("hipMemsetD8Async", 1, 1);
  fake.failCalls = 0;
  fake.calls.clear();
  expectError(GpuRun(5).run(layer.get()), MOEC_ERR_DEVICE,
              {"amd: zeroing 36 bytes: hipErrorInvalidValue (1)"});
  EXPECT_EQ(fake.callsOf("hipModuleLaunch"), Calls{});
}

TEST_F(Hip, AddressesThatDoNotFit) {
  mustOpen();
  GpuRun run(5);
  run.tensors[0].data = reinterpret_cast<void *>(0x1000100008);
  expectError(run.run(layer.get()), MOEC_ERR_ALIGNMENT,
              {"amd: argument 0 'x' is at 0x1000100008; kernel 'up' needs a "
               "multiple of 16 bytes, and no variant does without for 5 "
               "tokens"});
  // Memory of the process that no device reaches has the type 0.
  run = GpuRun(5);
  run.tensors[2].data = reinterpret_cast<void *>(0x7000);
  expectError(run.run(layer.get()), MOEC_ERR_INVALID_ARGUMENT,
              {"amd: argument 2 'w' is at 0x7000, which is no memory that "
               "hip:0 reaches"});
  run = GpuRun(5);
  run.workspace = 0x7040;
  expectError(run.run(layer.get()), MOEC_ERR_INVALID_ARGUMENT,
              {"the workspace is at 0x7040"});
  EXPECT_EQ(fake.callsOf("hipModuleLaunch"), Calls{});
  // A device that reaches all memory is not asked.
  fake.settings.pageable = 1;
  mustOpen();
  EXPECT_EQ(run.run(layer.get()), MOEC_ERR_DEVICE) << "the memset refuses it";
  EXPECT_EQ(fake.callsOf("hipPointerGetAttribute"), Calls{});
}

TEST_F(Hip, GridsOfTooManyThreads) {
  write(replaced(manifest(), R"("grid": ["T", 1, 1], "block": [256, 1, 1])",
                 R"("grid": ["1000000*T", 1, 1], "block": [256, 1, 1])"));
  mustOpen();
  expectError(GpuRun(20).run(layer.get()), MOEC_ERR_SHAPE,
              {"amd: kernel 'whole' has 20000000 blocks of 256 threads in "
               "dimension 0 for T = 20; HIP takes less than 2^32 threads"});
  fake.settings.blocksPerMultiprocessor = 1;
  fake.settings.multiprocessors = 1;
  write(replaced(manifest(), R"("grid": [{"T": 1, "div": 8}, 2, 1])",
                 R"("grid": ["T", 2, 1])"));
  mustOpen();
  expectError(GpuRun(5).run(layer.get()), MOEC_ERR_RESOURCES,
              {"kernel 'down' has 10 blocks that must run at the same time for "
               "T = 5, hip:0 'Fake AMD GPU 0' has room for 1"});
}

TEST_F(Hip, CallsForOtherMachines) {
  mustOpen();
  GpuRun run(5);
  expectError(moec_run(layer.get(), nullptr, run.tensors.data(), 5, 5, nullptr,
                       0, nullptr),
              MOEC_ERR_INVALID_ARGUMENT,
              {"the layer was opened for hip:0; use moec_run_on_stream"});
}

//===----------------------------------------------------------------------===//
// What goes wrong with opening
//===----------------------------------------------------------------------===//

TEST_F(Hip, Libraries) {
  moec_open_options options = openOptions();
  options.target = "hip";
  moec_layer *opened = nullptr;
  auto refused = [&](const char *library, const Calls &parts) {
    options.driver = library;
    expectError(moec_open(artifact.path.c_str(), &options, &opened),
                MOEC_ERR_DEVICE, parts);
    EXPECT_EQ(opened, nullptr);
  };
  // A process has one library; the other tests may have opened it before.
  ASSERT_EQ(open(), MOEC_OK) << moec_last_error();
  refused("libnone.so", {"cannot use the HIP library 'libnone.so': this "
                         "process uses '" MOEC_FAKE_HIP_LIBRARY "'"});
  refused(nullptr, {"cannot use the HIP library 'of the system'"});
  setenv("MOEC_HIP_DRIVER", MOEC_FAKE_HIP_LIBRARY, 1);
  options.driver = nullptr;
  ASSERT_EQ(moec_open(artifact.path.c_str(), &options, &opened), MOEC_OK)
      << moec_last_error();
  moec_close(opened);
  unsetenv("MOEC_HIP_DRIVER");
}

// Run in processes of their own, in which no library was opened before.
class HipDeath : public Hip {
protected:
  /// Opens with a library and prints the message.
  void refused(const char *library, const char *message,
               const char *settings = "") {
    EXPECT_EXIT(
        {
          setenv("MOEC_FAKE_CUDA", settings, 1);
          fake.reset();
          moec_open_options options = openOptions();
          options.target = "hip";
          options.driver = library;
          moec_layer *opened = nullptr;
          moec_open(artifact.path.c_str(), &options, &opened);
          std::fprintf(stderr, "%s\n", moec_last_error());
          std::exit(opened ? 1 : 0);
        },
        ::testing::ExitedWithCode(0), message);
  }
};

TEST_F(HipDeath, LibrariesThatCannotBeUsed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  refused("libmoec-none.so", "no AMD driver: cannot load 'libmoec-none.so'");
  refused(MOEC_OLD_HIP_LIBRARY,
          "has no hipGetDeviceCount; ROCm 6.0 or newer is needed");
  refused(MOEC_FAKE_HIP_LIBRARY,
          "no AMD GPU: hipInit: hipErrorNoDevice \\(100\\)", "init=100");
  refused(MOEC_FAKE_HIP_LIBRARY,
          "HIP does not start: hipInit: hipErrorUnknown \\(3\\)", "init=3");
}

TEST_F(Hip, Devices) {
  expect(MOEC_ERR_DEVICE, {"there is no device hip:1, the driver counts 1"},
         "hip:1");
  fake.settings.devices = 0;
  expect(MOEC_ERR_DEVICE, {"no AMD GPU: the driver counts 0 devices"});
  fake.reset();
  failAt("hipGetDeviceCount", 1, 100);
  expect(MOEC_ERR_DEVICE, {"no AMD GPU: hipGetDeviceCount: hipErrorNoDevice"});
  fake.reset();
  failAt("hipGetDeviceProperties", 1, 1);
  expect(MOEC_ERR_DEVICE, {"hipGetDeviceProperties of hip:0"});
  fake.reset();
  failAt("hipDeviceGetAttribute", 1, 1);
  expect(MOEC_ERR_DEVICE, {"hipDeviceGetAttribute 88 of hip:0"});
}

TEST_F(Hip, OtherChips) {
  fake.settings.arch = "gfx90a:sramecc+:xnack-";
  expect(MOEC_ERR_UNSUPPORTED,
         {"amd: no variant runs on hip:0 'Fake AMD GPU 0', a gfx90a: the "
          "artifact has gfx942, gfx1100, sm_90a"});
  // A chip whose name begins like another one's.
  fake.settings.arch = "gfx9421";
  expect(MOEC_ERR_UNSUPPORTED, {"a gfx9421"});
  fake.settings.arch = "";
  expect(MOEC_ERR_UNSUPPORTED, {"no variant runs on hip:0"});
}

TEST_F(Hip, BrokenCode) {
  std::string whole = hsacoOf(amdKernels);
  EXPECT_EQ(moec::checkHsaco(whole), nullptr);
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(moec::checkHsaco(whole.substr(0, length)), nullptr) << length;
  artifact.write("amd.hsaco", cubinOf(amdKernels));
  expect(MOEC_ERR_CODE, {"amd.hsaco': it is an ELF file for another machine"});
  artifact.write("amd.hsaco", whole.substr(0, whole.size() - 1));
  expect(MOEC_ERR_CODE, {"amd.hsaco': it is truncated"});
  std::filesystem::remove(artifact / "amd.hsaco");
  expect(MOEC_ERR_CODE,
         {"cannot read code object '" + (artifact / "amd.hsaco")});
  artifact.write("amd.hsaco", whole);
  failAt("hipModuleLoadData", 1, 209);
  expect(MOEC_ERR_CODE, {"cannot load code object", "hipErrorNoBinaryForGpu "
                                                    "(209)"});
  fake.reset();
  artifact.write("amd.hsaco",
                 hsacoOf(replaced(amdKernels, "kernel down", "kernel other")));
  expect(MOEC_ERR_CODE, {"amd.hsaco' has no kernel 'down'"});
  artifact.write("amd.hsaco",
                 hsacoOf(replaced(amdKernels, "threads 64", "threads 32")));
  expect(MOEC_ERR_RESOURCES,
         {"kernel 'down' of", "takes blocks of 32 threads, the manifest has "
                              "64"});
  artifact.write("amd.hsaco",
                 hsacoOf(replaced(amdKernels, "static 18432", "static 65024")));
  expect(MOEC_ERR_RESOURCES,
         {"kernel 'up' needs 66048 bytes of shared memory, hip:0 'Fake AMD GPU "
          "0' has 65536 per block"});
}

TEST_F(Hip, ManifestsForOtherGpus) {
  struct Case {
    const char *from, *to, *says;
  };
  for (
      const Case &it : {
          Case{
              R"("grid": [1, 1, 1], "block": [256, 1, 1])",
              R"("grid": [2, 1, 1], "block": [256, 1, 1], "cluster": [2, 1, 1])",
              "/variants/0/launches/0/cluster: clusters are for NVIDIA GPUs, "
              "not gfx942"},
          Case{R"({"arg": 3}, {"workspace": 1})",
               R"({"tensor_map": {"of": {"arg": 0}, "dtype": "bf16",
                "dims": [64, "T"], "strides": [128], "box": [64, 16]}})",
               "/variants/0/launches/1/args/2: 'tensor_map' is for NVIDIA "
               "GPUs, not gfx942"},
          Case{R"("bytes": "4*T + 16")", R"("per_worker": 64)",
               "/variants/0/workspace/0: 'per_worker' is for CPUs"},
          Case{R"("code": "rdna.hsaco")", R"("code": null)",
               "/variants/2: needs 'code'"},
      }) {
    write(replaced(manifest(), it.from, it.to));
    expect(MOEC_ERR_MANIFEST, {it.says});
  }
}

} // namespace
