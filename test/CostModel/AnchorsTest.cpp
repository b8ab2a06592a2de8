//===- AnchorsTest.cpp - What others measured, against the model ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Published measurements of other systems on devices that the model was not
// fitted to. Their numbers stand here, none of them in the library. Where a
// system has another kind of kernel, its candidates are predicted with the
// traits nearest to it.
//
//===----------------------------------------------------------------------===//

#include "Layers.h"
#include "moec/CostModel/Formulations.h"
#include "moec/Target/DeviceFile.h"

#include "llvm/Support/Error.h"
#include <algorithm>
#include <gtest/gtest.h>

using namespace mlir::moe;

namespace {
Device device(const char *name) { return llvm::cantFail(findDevice(name)); }

//===----------------------------------------------------------------------===//
// Iris, pull request 414: MI300X, 304 compute units, 16 of 128 experts, d_model
// 5760, bf16
//===----------------------------------------------------------------------===//

/// The best of 32, 64, 128 and 256 rows by `rows` per expert on a share of the
/// units.
int64_t irisBlock(const Device &mi300, int64_t rowsPerExpert) {
  GemmProblem p;
  p.n = p.k = 5760;
  const KernelTraits &traits = findKernelTraits(*findRuleTarget("gfx942"), p);
  int64_t tokens = rowsPerExpert * 128 / 4;
  std::vector<int64_t> rows = zipfRows(tokens, 4, 128, 0);
  rows.resize(16);
  int64_t best = 0;
  double least = 1e30;
  for (int64_t blockM : {32, 64, 128, 256}) {
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = 128;
    config.blockK = 64;
    config.stages = 2;
    double seconds =
        predictGemm(mi300, traits, p, config, rows, tokens).seconds;
    if (seconds < least) {
      least = seconds;
      best = blockM;
    }
  }
  return best;
}

TEST(Anchors, IrisBlockRowsByRowsPerExpert) {
  Device mi300 = device("mi300x");
  for (auto [rows, blockM] : {std::pair<int64_t, int64_t>{64, 128},
                              {128, 128},
                              {256, 256},
                              {512, 256},
                              {1024, 256}})
    EXPECT_EQ(irisBlock(mi300, rows), blockM) << rows << " rows per expert";
}

//===----------------------------------------------------------------------===//
// ExecuTorch, pull request 18551: A100, int4 decode of one token, 8 experts
//===----------------------------------------------------------------------===//

int rankOf(const std::vector<VectorConfig> &list, int64_t n, int64_t k) {
  // Distinct (n, k), whatever the warps and stages.
  std::vector<std::pair<int64_t, int64_t>> seen;
  for (const VectorConfig &config : list) {
    std::pair<int64_t, int64_t> shape = {config.blockN, config.blockK};
    if (std::find(seen.begin(), seen.end(), shape) == seen.end())
      seen.push_back(shape);
    if (shape == std::make_pair(n, k))
      return int(seen.size());
  }
  return 1000;
}

TEST(Anchors, ExecuTorchDecodeShapes) {
  Device a100 = device("a100-sxm4-80gb");
  VectorProblem up{1024, 2048, 4, 128, 8}, down{2048, 512, 4, 128, 8};
  auto first = rankVector(a100, up), second = rankVector(a100, down);
  EXPECT_LE(rankOf(first, 8, 256), 6);
  EXPECT_LE(std::min(rankOf(second, 8, 256), rankOf(second, 8, 128)), 6);
  EXPECT_GT(rankOf(first, 32, 32), 1);
  EXPECT_GT(rankOf(second, 32, 32), 1);
  // The measured gains: 60.4 to 32.8 us and 29.2 to 26.1.
  double gain = predictVector(a100, up, {32, 32, 4, 2}) /
                predictVector(a100, up, {8, 256, 2, 2});
  EXPECT_GT(gain, 1.2);
  EXPECT_GT(predictVector(a100, down, {32, 32, 4, 2}),
            predictVector(a100, down, {8, 128, 2, 4}));
}

/// Decoding of one multiprocessor, of `rows` weight rows in each tile.
double decodingOf(const Device &a100, int64_t rows) {
  GemmProblem p;
  p.n = 1024;
  p.k = 2048;
  p.bBits = 4;
  p.bGranule = 128;
  p.gather = p.gateHalves = true;
  p.gateRun = 512;
  RuleConfig config;
  config.blockM = 16;
  config.blockN = rows / 2;
  config.blockK = 256;
  config.swap = true;
  const KernelTraits &traits = findKernelTraits(*findRuleTarget("sm_80"), p);
  return predictGemm(a100, traits, p, config, std::vector<int64_t>(8, 1), 1)
      .decode;
}

// A warp decodes the sixteen rows of its instruction: in narrow tiles most have
// none, and what is left to them takes the longer. From eight warps on the
// work alone counts.
TEST(Anchors, FewDecodingWarpsTakeLonger) {
  Device a100 = device("a100-sxm4-80gb");
  EXPECT_GT(decodingOf(a100, 16), decodingOf(a100, 32));
  EXPECT_GT(decodingOf(a100, 32), decodingOf(a100, 128));
  EXPECT_GT(decodingOf(a100, 64), 0.9 * decodingOf(a100, 128));
  EXPECT_GE(decodingOf(a100, 256), decodingOf(a100, 128));
}

//===----------------------------------------------------------------------===//
// SGLang, pull request 10567: H20, fp8 in blocks, down projection of
// DeepSeek-R1 split over 8
//===----------------------------------------------------------------------===//

/// Time of copies by threads over that of the copy engine.
double sglangGain(const Device &h20, int64_t tokens) {
  GemmProblem p;
  p.n = 7168;
  p.k = 256;
  p.aBits = p.bBits = 8;
  p.aGranule = p.bGranule = 128;
  p.aPromotes = p.bPromotes = true;
  p.sumsRows = p.roundsRows = true;
  // Triton's loops; a copy of 16 bytes through row numbers costs far more than
  // its instructions there, and still the gain at 8192 tokens (2204 to 1391 us)
  // is predicted too small: only where it begins is tested.
  KernelTraits traits = findKernelTraits(*findRuleTarget("sm_89"), p);
  traits.loadOps = 100;
  Workload workload = assumeWorkload(tokens, 8, 256);
  auto best = [&](const char *way) {
    double least = 1e30;
    for (int64_t blockM : {16, 32, 64, 128})
      for (int64_t blockN : {64, 128}) {
        RuleConfig config;
        config.blockM = blockM;
        config.blockN = blockN;
        config.blockK = 128;
        config.stages = 3;
        config.partial = "bf16";
        config.a = way;
        config.b = "desc";
        double sum = 0;
        for (const WorkloadCase &one : workload.cases)
          sum += one.weight *
                 predictGemm(h20, traits, p, config, one.rows, tokens).seconds;
        least = std::min(least, sum);
      }
    return least;
  };
  return best("gather") / best("desc");
}

TEST(Anchors, SglangCopyEngineForTheDownProjection) {
  Device h20 = device("h20");
  double before = 0;
  for (int64_t tokens : {1, 64, 256, 512, 1024, 2048, 4096, 8192}) {
    double gain = sglangGain(h20, tokens);
    // "No gain below about 1024 tokens"; 2430 to 1435 us at 8192.
    if (tokens <= 512)
      EXPECT_LT(gain, 1.10) << tokens;
    if (tokens >= 2048)
      EXPECT_GT(gain, 1.10) << tokens;
    EXPECT_GE(gain, before - 0.05) << tokens;
    before = gain;
  }
}

//===----------------------------------------------------------------------===//
// ROCm vLLM, pull request 1020: gfx1151, W4A16, 256 experts, top-8, prefill
//===----------------------------------------------------------------------===//

TEST(Anchors, RadeonPrefillBlockRows) {
  Device strix = device("gfx1151");
  GemmProblem p;
  p.n = 1024;
  p.k = 2048;
  p.bBits = 4;
  p.bGranule = 128;
  p.gather = true;
  const KernelTraits &traits = findKernelTraits(*findRuleTarget("gfx1151"), p);
  auto seconds = [&](int64_t tokens, int64_t blockM) {
    Workload workload = assumeWorkload(tokens, 8, 256);
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = 64;
    config.blockK = 64;
    config.stages = 2;
    double sum = 0;
    for (const WorkloadCase &one : workload.cases)
      sum += one.weight *
             predictGemm(strix, traits, p, config, one.rows, tokens).seconds;
    return sum;
  };
  for (int64_t tokens : {1024, 1536, 2048, 4096})
    EXPECT_LT(seconds(tokens, 32), seconds(tokens, 16)) << tokens;
  // Decode has nothing to fill 32 rows with.
  EXPECT_LE(seconds(16, 16), seconds(16, 32));
}

//===----------------------------------------------------------------------===//
// TensorRT-LLM, MoE as dense GEMM: B200, DeepSeek-V3 split over 8, FP4
//===----------------------------------------------------------------------===//

TEST(Anchors, DenseWinsInAWindow) {
  Device b200 = device("b200");
  // Two units share a tile of 256 rows.
  Device pairs = b200;
  pairs.figures.computeUnits /= 2;
  pairs.figures.unitReadRate *= 2;
  DenseProblem layer{256, 8, 7168, 256, 4, 16};
  auto ratio = [&](int64_t tokens) {
    double dense = std::min({predictDense(b200, layer, tokens, 128, 64),
                             predictDense(b200, layer, tokens, 128, 128),
                             predictDense(pairs, layer, tokens, 256, 128)});
    Workload workload;
    workload.tokens = tokens;
    workload.topk = 8;
    workload.cases = {{zipfRows(tokens, 8, 256, 0), 1}};
    double grouped = predictGrouped(b200, layer, workload, 128);
    return dense / grouped;
  };
  // Measured: 0.18x at one token, up to 1.12x within 64 to 208, 0.73x from 272.
  for (int64_t tokens : {1, 8, 16, 32})
    EXPECT_GT(ratio(tokens), 1) << tokens;
  for (int64_t tokens : {96, 128, 192, 208})
    EXPECT_LT(ratio(tokens), 1) << tokens;
  for (int64_t tokens : {272, 384, 512, 1024})
    EXPECT_GT(ratio(tokens), 1) << tokens;
  EXPECT_TRUE(isFormulationBuilt(RuleTarget::Nvidia, FormulationKind::Dense));
}

//===----------------------------------------------------------------------===//
// Figures move the choice
//===----------------------------------------------------------------------===//

LayerChoice chooseOn(const Device &device, int64_t tokens) {
  LayerSizes sizes{128, 8, 2048, 768};
  Workload workload = assumeWorkload(tokens, sizes.topk, sizes.experts);
  return chooseLayer(device, *findRuleTarget("sm_90a"),
                     makeLayer(sizes, "bf16", workload, device), workload);
}

/// The H100 without the record of what was measured on it.
Device bare() {
  Device h100 = device("h100-sxm");
  h100.measuredBlocks.clear();
  return h100;
}

TEST(Figures, SlowerProductsAskForFewerPaddedRows) {
  // 64 rows per expert fill one block of 64, half of one of 128.
  Device slow = bare(), fast = bare();
  slow.figures.flops16 /= 20;
  fast.figures.flops16 *= 4;
  auto cost = [](const Device &d, int64_t blockM) {
    for (const LayerCandidate &c : chooseOn(d, 1024).candidates)
      if (c.blockM == blockM)
        return c.seconds;
    return 0.0;
  };
  EXPECT_LT(cost(slow, 16) / cost(slow, 128), cost(fast, 16) / cost(fast, 128));
  EXPECT_LE(chooseOn(slow, 256).best().blockM,
            chooseOn(fast, 256).best().blockM);
}

TEST(Figures, SlowerCachesAskForTallerTiles) {
  Device slow = bare();
  slow.figures.l2Rate /= 6;
  // Where experts fill tall tiles; elsewhere a tall one loads rows that it has
  // no token for.
  for (int64_t tokens : {256, 4096, 16384})
    EXPECT_GE(chooseOn(slow, tokens).best().blockM,
              chooseOn(bare(), tokens).best().blockM)
        << tokens;
  EXPECT_GT(chooseOn(slow, 1024).best().blockM, 32);
}

TEST(Figures, SlowerMemoryMakesBlockRowsMatterLess) {
  Device slow = bare();
  slow.figures.readRate /= 8;
  slow.figures.copyRate /= 8;
  auto spread = [](const Device &d) {
    LayerChoice choice = chooseOn(d, 1024);
    return choice.candidates.back().seconds / choice.best().seconds;
  };
  EXPECT_LT(spread(slow), spread(bare()));
}

TEST(Figures, MoreUnitsAskForNarrowerTiles) {
  // 6 experts of 16 tiles of 128 rows: enough for 78 units, not for 300.
  LayerSizes sizes{8, 2, 4096, 14336};
  auto width = [&](double units) {
    Device d = bare();
    d.figures.computeUnits = units;
    Workload workload = assumeWorkload(1, sizes.topk, sizes.experts);
    return chooseLayer(d, *findRuleTarget("sm_90a"),
                       makeLayer(sizes, "bf16", workload, d), workload)
        .best()
        .gemms[1][0]
        .config.blockN;
  };
  EXPECT_EQ(width(64), 128);
  EXPECT_EQ(width(132), 64);
}

TEST(Figures, SameInputsGiveTheSameChoice) {
  for (int64_t tokens : {1, 64, 1024}) {
    LayerChoice a = chooseOn(bare(), tokens), b = chooseOn(bare(), tokens);
    ASSERT_EQ(a.candidates.size(), b.candidates.size());
    for (size_t i = 0; i < a.candidates.size(); ++i) {
      EXPECT_EQ(a.candidates[i].blockM, b.candidates[i].blockM);
      EXPECT_EQ(a.candidates[i].seconds, b.candidates[i].seconds);
    }
    EXPECT_EQ(a.reason, b.reason);
  }
}
} // namespace
