//===- TunedFilesTest.cpp - Block rows of tuned files, against the model --===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Files that vLLM and SGLang ship for H100, H200 and A100, in bf16 and fp8,
// were tuned with tokens that fall on experts uniformly. They name neither the
// hidden size nor top-k: both are those of the model that the sizes are known
// from. BLOCK_SIZE_M is predicted with the loops of such kernels.
//
//===----------------------------------------------------------------------===//

#include "Layers.h"
#include "moec/Target/DeviceFile.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>

using namespace mlir::moe;

namespace {
struct TunedFile {
  const char *path, *device;
  int64_t experts, columns, topk, hidden;
  bool fp8;
};
const TunedFile files[] = {
    {"vllm/E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json", "h100-sxm", 128,
     768, 8, 2048, false},
    {"sglang/E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json", "h100-sxm",
     128, 768, 8, 2048, false},
    {"vllm/E=128,N=768,device_name=NVIDIA_H200.json", "h200", 128, 768, 8, 2048,
     false},
    {"vllm/E=8,N=14336,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8.json",
     "h100-sxm", 8, 14336, 2, 4096, true},
    {"vllm/E=8,N=7168,device_name=NVIDIA_H100_80GB_HBM3.json", "h100-sxm", 8,
     7168, 2, 4096, false},
    {"vllm/E=8,N=3584,device_name=NVIDIA_A100-SXM4-80GB.json", "a100-sxm4-80gb",
     8, 3584, 2, 4096, false},
    {"vllm/E=256,N=256,device_name=NVIDIA_H200,dtype=fp8_w8a8,block_shape=[128,"
     "128].json",
     "h200", 256, 256, 8, 7168, true},
    {"vllm/E=256,N=128,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8,block_"
     "shape=[128,128].json",
     "h100-sxm", 256, 128, 8, 7168, true},
    {"vllm/E=256,N=512,device_name=NVIDIA_H100_80GB_HBM3.json", "h100-sxm", 256,
     512, 8, 2048, false},
    {"vllm/E=512,N=512,device_name=NVIDIA_H200.json", "h200", 512, 512, 10,
     2048, false},
    {"vllm/E=512,N=128,device_name=NVIDIA_H100_80GB_HBM3,dtype=fp8_w8a8,block_"
     "shape=[128,128].json",
     "h100-sxm", 512, 128, 10, 2048, true},
    {"sglang/E=256,N=512,device_name=NVIDIA_H200,dtype=fp8_w8a8,block_shape=["
     "128, 128].json",
     "h200", 256, 512, 8, 7168, true},
    {"sglang/E=257,N=256,device_name=NVIDIA_H200,dtype=fp8_w8a8,block_shape=["
     "128, 128].json",
     "h200", 257, 256, 9, 7168, true},
    {"sglang/E=161,N=192,device_name=NVIDIA_H200,dtype=fp8_w8a8,per_channel_"
     "quant=True.json",
     "h200", 161, 192, 9, 5120, true},
};

/// The block rows that the model gives a layer of such kernels.
int64_t predictBlock(const Device &device, const TunedFile &file,
                     int64_t tokens) {
  std::vector<int64_t> rows = zipfRows(tokens, file.topk, file.experts, 0);
  int64_t best = 0;
  double least = 1e30;
  for (int64_t blockM : {16, 32, 64, 128, 256}) {
    double sum = 0;
    for (int i = 0; i < 2; ++i) {
      GemmProblem p;
      p.n = i == 0 ? 2 * file.columns : file.hidden;
      p.k = i == 0 ? file.hidden : file.columns;
      p.aBits = p.bBits = file.fp8 ? 8 : 16;
      p.aPromotes = file.fp8;
      p.gather = i == 0;
      const KernelTraits &traits =
          findKernelTraits(*findRuleTarget("sm_89"), p);
      double one = 1e30;
      for (int64_t blockN : {32, 64, 128, 256}) {
        RuleConfig config;
        config.blockM = blockM;
        config.blockN = blockN;
        config.blockK = 64;
        config.stages = 3;
        // Two tiles on a unit at least, and registers for the results.
        if (blockM * blockN > 128 * 256)
          continue;
        one = std::min(
            one, predictGemm(device, traits, p, config, rows, tokens).seconds);
      }
      sum += one;
    }
    if (sum < least) {
      least = sum;
      best = blockM;
    }
  }
  return best;
}

TEST(TunedFiles, BlockRowsAreWithinAFactorOfTwo) {
  int rows = 0, near = 0, exact = 0;
  for (const TunedFile &file : files) {
    auto text = llvm::MemoryBuffer::getFile(std::string(MOEC_TUNED_FILES "/") +
                                            file.path);
    ASSERT_TRUE(bool(text)) << file.path;
    llvm::json::Value json =
        llvm::cantFail(llvm::json::parse((*text)->getBuffer()));
    Device device = llvm::cantFail(findDevice(file.device));
    int of = 0, good = 0;
    std::string misses;
    for (const auto &entry : *json.getAsObject()) {
      int64_t tokens = std::atoll(entry.first.str().c_str());
      const llvm::json::Object *config = entry.second.getAsObject();
      if (tokens < 1 || !config)
        continue;
      int64_t tuned = *config->getInteger("BLOCK_SIZE_M");
      int64_t predicted = predictBlock(device, file, tokens);
      bool close = predicted <= 2 * tuned && tuned <= 2 * predicted;
      ++of;
      good += close;
      exact += predicted == tuned;
      if (!close)
        misses += " " + std::to_string(tokens) + ":" + std::to_string(tuned) +
                  "/" + std::to_string(predicted);
    }
    std::printf("%3d of %3d within a factor of 2: %s%s%s\n", good, of,
                file.path, misses.empty() ? "" : "; tuned/predicted at",
                misses.c_str());
    rows += of;
    near += good;
  }
  std::printf("%d of %d rows (%.0f %%), %d exactly\n", near, rows,
              100.0 * near / rows, exact);
  EXPECT_GE(rows, 200);
  EXPECT_GE(near, 0.8 * rows);
}
} // namespace
