//===- NameTest.cpp - Names of tuned configuration files ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedName.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::moe;

namespace {

TunedName parse(llvm::StringRef path) {
  std::optional<TunedName> name = llvm::cantFail(parseTunedName(path));
  EXPECT_TRUE(name.has_value()) << path.str();
  return name.value_or(TunedName());
}

TEST(TunedName, RealNames) {
  TunedName name =
      parse("configs/E=128,N=384,device_name=NVIDIA_B200,dtype=fp8_w8a8,"
            "block_shape=[128,128].json");
  EXPECT_EQ(name.experts, 128);
  EXPECT_EQ(name.columns, 384);
  EXPECT_EQ(name.device, "NVIDIA_B200");
  EXPECT_EQ(name.dtype, "fp8_w8a8");
  EXPECT_EQ(name.blockShape, (llvm::SmallVector<int64_t, 2>{128, 128}));
  EXPECT_FALSE(name.perChannel);
  EXPECT_FALSE(name.down);
  // A device with parentheses, no dtype.
  name = parse("E=10,N=512,device_name=Intel(R)_Arc(TM)_Pro_B60_Graphics.json");
  EXPECT_EQ(name.device, "Intel(R)_Arc(TM)_Pro_B60_Graphics");
  EXPECT_EQ(name.dtype, "");
  // An empty device.
  name = parse("E=384,N=128,device_name=,dtype=int4_w4a16.json");
  EXPECT_EQ(name.device, "");
  EXPECT_EQ(name.dtype, "int4_w4a16");
  name = parse("E=161,N=192,device_name=NVIDIA_H200,dtype=fp8_w8a8,"
               "per_channel_quant=True.json");
  EXPECT_TRUE(name.perChannel);
  EXPECT_TRUE(name.blockShape.empty());
  name = parse("E=256,N=512,device_name=NVIDIA_H200,dtype=fp8_w8a8,"
               "block_shape=[128, 128]_down.json");
  EXPECT_TRUE(name.down);
  EXPECT_EQ(name.blockShape, (llvm::SmallVector<int64_t, 2>{128, 128}));
  name = parse("E=384,N=256,device_name=AMD_Instinct_MI350X,"
               "dtype=int4_w4a16_down.json");
  EXPECT_EQ(name.dtype, "int4_w4a16");
  EXPECT_TRUE(name.down);
}

TEST(TunedName, WhatBecomesOfAName) {
  // A name is printed as the system that wrote it does.
  for (auto [text, system] :
       {std::pair("E=128,N=384,device_name=NVIDIA_B200,dtype=fp8_w8a8,"
                  "block_shape=[128,128].json",
                  TunedSystem::Vllm),
        {"E=257,N=256,device_name=NVIDIA_B200,dtype=fp8_w8a8,"
         "block_shape=[128, 128].json",
         TunedSystem::Sglang},
        {"E=256,N=512,device_name=NVIDIA_H200,dtype=fp8_w8a8,"
         "block_shape=[128, 128]_down.json",
         TunedSystem::Sglang},
        {"E=161,N=192,device_name=NVIDIA_H200,dtype=fp8_w8a8,"
         "per_channel_quant=True.json",
         TunedSystem::Sglang},
        {"E=384,N=128,device_name=,dtype=int4_w4a16.json", TunedSystem::Sglang},
        {"E=1,N=3072,device_name=NVIDIA_A100-SXM4-80GB,dtype=int8_w8a16.json",
         TunedSystem::Vllm}})
    EXPECT_EQ(printTunedName(parse(text), system), text);
  // And as the other one.
  EXPECT_EQ(printTunedName(parse("E=256,N=512,device_name=X,dtype=fp8_w8a8,"
                                 "block_shape=[128, 128]_down.json"),
                           TunedSystem::Vllm),
            "E=256,N=512,device_name=X,dtype=fp8_w8a8,block_shape=[128,128]"
            ".json");
}

TEST(TunedName, NamesThatSayNothing) {
  for (const char *path :
       {"any.json", "my,E=8,N=4.json", "e=8,N=4.json", "", "E.json"})
    EXPECT_FALSE(llvm::cantFail(parseTunedName(path)).has_value()) << path;
}

TEST(TunedName, BadNames) {
  const std::pair<const char *, const char *> cases[] = {
      {"E=,N=4.json", "E '' is no positive integer"},
      {"E=0,N=4.json", "E '0' is no positive integer"},
      {"E=8x,N=4.json", "E '8x' is no positive integer"},
      {"E=8,N=-4,device_name=B.json", "N '-4' is no positive integer"},
      {"E=8,N=4,device_name=B,block_shape=128.json",
       "block_shape '128' is no list"},
      {"E=8,N=4,device_name=B,block_shape=[128,x].json",
       "block_shape '[128,x]' is no list of integers"},
      {"E=8,N=4,device_name=B,per_channel_quant=yes.json",
       "per_channel_quant 'yes' is no True or False"},
  };
  for (auto [path, expected] : cases) {
    auto name = parseTunedName(path);
    ASSERT_FALSE(bool(name)) << path;
    EXPECT_EQ(llvm::toString(name.takeError()),
              std::string(path) + ": the name's " + expected);
  }
}

TEST(TunedName, Devices) {
  auto vllm = [](llvm::StringRef name) {
    return getTunedDeviceName(name, TunedSystem::Vllm);
  };
  auto sglang = [](llvm::StringRef name) {
    return getTunedDeviceName(name, TunedSystem::Sglang);
  };
  EXPECT_EQ(vllm("NVIDIA H100 80GB HBM3"), "NVIDIA_H100_80GB_HBM3");
  EXPECT_EQ(sglang("NVIDIA H100 80GB HBM3"), "NVIDIA_H100_80GB_HBM3");
  // The whole family has one name, in vLLM.
  EXPECT_EQ(vllm("NVIDIA H200 NVL"), "NVIDIA_H200");
  EXPECT_EQ(sglang("NVIDIA H200 NVL"), "NVIDIA_H200_NVL");
  EXPECT_EQ(vllm("NVIDIA GH200 480GB"), "NVIDIA_GH200_480GB");
  // Runs, and slashes.
  EXPECT_EQ(vllm("AMD Radeon 8060S / gfx1151"), "AMD_Radeon_8060S_gfx1151");
  EXPECT_EQ(sglang("AMD Radeon 8060S / gfx1151"), "AMD_Radeon_8060S_/_gfx1151");
  EXPECT_EQ(vllm("A\t B"), "A_B");
  EXPECT_EQ(vllm(""), "");
}

TunedLayer layer() {
  TunedLayer layer;
  layer.experts = 128;
  layer.intermediate = 768;
  layer.device = "NVIDIA H100 80GB HBM3";
  return layer;
}

TEST(TunedName, WhatALayerIsCalled) {
  TunedLayer plain = layer();
  for (TunedSystem system : {TunedSystem::Vllm, TunedSystem::Sglang})
    EXPECT_EQ(printTunedName(nameTunedLayer(plain, system), system),
              "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json");
  TunedLayer blocks = layer();
  blocks.dtype = "fp8_w8a8";
  blocks.blockShape = {128, 128};
  EXPECT_EQ(printTunedName(nameTunedLayer(blocks, TunedSystem::Vllm),
                           TunedSystem::Vllm),
            "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8,"
            "block_shape=[128,128].json");
  EXPECT_EQ(
      printTunedName(nameTunedLayer(blocks, TunedSystem::Sglang, /*down=*/true),
                     TunedSystem::Sglang),
      "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8,"
      "block_shape=[128, 128]_down.json");
  // A zero means that scales are no blocks.
  blocks.blockShape = {0, 128};
  EXPECT_TRUE(nameTunedLayer(blocks, TunedSystem::Vllm).blockShape.empty());
}

TEST(TunedName, ColumnsOfPackedWeights) {
  TunedLayer packed = layer();
  packed.dtype = "int4_w4a16";
  // vLLM doubles what it sees, SGLang does not.
  EXPECT_EQ(nameTunedLayer(packed, TunedSystem::Vllm).columns, 768);
  EXPECT_EQ(nameTunedLayer(packed, TunedSystem::Sglang).columns, 384);
  // Bytes are bytes.
  packed.dtype = "int8_w8a16";
  EXPECT_EQ(nameTunedLayer(packed, TunedSystem::Sglang).columns, 768);
}

TEST(TunedName, FusedSharedExpert) {
  TunedLayer shared = layer();
  shared.fusedShared = true;
  EXPECT_EQ(nameTunedLayer(shared, TunedSystem::Vllm).experts, 128);
  EXPECT_EQ(nameTunedLayer(shared, TunedSystem::Sglang).experts, 129);
}

TEST(TunedName, WhatOnlySglangHas) {
  TunedLayer channels = layer();
  channels.perChannel = true;
  TunedName vllm = nameTunedLayer(channels, TunedSystem::Vllm, /*down=*/true);
  EXPECT_FALSE(vllm.perChannel);
  EXPECT_FALSE(vllm.down);
  TunedName sglang =
      nameTunedLayer(channels, TunedSystem::Sglang, /*down=*/true);
  EXPECT_TRUE(sglang.perChannel);
  EXPECT_TRUE(sglang.down);
}

/// A temporary folder.
class TunedFolders : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("tuned", root));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(root); }
  std::string path(const llvm::Twine &below) {
    return (llvm::StringRef(root) + "/" + below).str();
  }
  void make(const llvm::Twine &file) {
    std::string whole = path(file);
    ASSERT_FALSE(
        llvm::sys::fs::create_directories(llvm::sys::path::parent_path(whole)));
    std::error_code error;
    llvm::raw_fd_ostream(whole, error) << "{}";
    ASSERT_FALSE(error);
  }
  llvm::SmallString<128> root;
};

TEST_F(TunedFolders, Vllm) {
  EXPECT_EQ(getTunedFolders(TunedSystem::Vllm, "/user", "/bundled", "3.5.1"),
            (std::vector<std::string>{"/user", "/bundled"}));
  EXPECT_EQ(getTunedFolders(TunedSystem::Vllm, "", "/bundled", ""),
            (std::vector<std::string>{"/bundled"}));
  make("user/a.json");
  make("bundled/a.json");
  make("bundled/b.json");
  auto folders =
      getTunedFolders(TunedSystem::Vllm, path("user"), path("bundled"), "");
  EXPECT_EQ(findTunedFile(folders, "a.json"), path("user/a.json"));
  EXPECT_EQ(findTunedFile(folders, "b.json"), path("bundled/b.json"));
  EXPECT_EQ(findTunedFile(folders, "c.json"), "");
}

TEST_F(TunedFolders, SglangTakesTheNewestTriton) {
  for (const char *folder : {"triton_3_2_0", "triton_3_10_0", "triton_3_9_1",
                             "triton_3", "triton_a_b_c", "other"})
    make(llvm::Twine("pkg/configs/") + folder + "/x.json");
  auto folders = getTunedFolders(TunedSystem::Sglang, "", path("pkg"), "3.5.1");
  EXPECT_EQ(folders,
            (std::vector<std::string>{path("pkg/configs/triton_3_5_1"),
                                      path("pkg/configs/triton_3_10_0"),
                                      path("pkg/configs/triton_3_9_1"),
                                      path("pkg/configs/triton_3_2_0")}));
  EXPECT_EQ(findTunedFile(folders, "x.json"),
            path("pkg/configs/triton_3_10_0/x.json"));
  make("pkg/configs/triton_3_5_1/x.json");
  EXPECT_EQ(findTunedFile(folders, "x.json"),
            path("pkg/configs/triton_3_5_1/x.json"));
  // The user's folder instead of the package's.
  make("mine/configs/triton_3_1_0/x.json");
  EXPECT_EQ(getTunedFolders(TunedSystem::Sglang, path("mine"), path("pkg"), ""),
            (std::vector<std::string>{path("mine/configs/triton_3_1_0")}));
}

TEST(TunedName, PathsOfTheDownProjection) {
  EXPECT_EQ(getTunedDownPath("a/E=8.json"), "a/E=8_down.json");
  EXPECT_EQ(getTunedDownPath("a/none"), "a/none_down.json");
  EXPECT_EQ(getTunedDownPath(".json"), "_down.json");
}

} // namespace
