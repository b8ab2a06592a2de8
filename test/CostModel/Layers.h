//===- Layers.h - Layers as the selector sees them --------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_COSTMODEL_LAYERS_H
#define MOEC_TEST_COSTMODEL_LAYERS_H

#include "moec/CostModel/Choose.h"

namespace mlir::moe {

struct LayerSizes {
  int64_t experts = 0, topk = 0, hidden = 0, intermediate = 0;
};

/// A SwiGLU layer with gate rows before up rows, its results summed in bf16.
/// `dtype`: bf16, fp8-block or w4a16-g128.
inline LayerProblem makeLayer(const LayerSizes &sizes, const std::string &dtype,
                              const Workload &workload, const Device &device) {
  LayerProblem layer;
  layer.frame.hidden = sizes.hidden;
  for (int i = 0; i < 2; ++i) {
    GemmProblem p;
    p.n = i == 0 ? 2 * sizes.intermediate : sizes.hidden;
    p.k = i == 0 ? sizes.hidden : sizes.intermediate;
    if (dtype == "fp8-block") {
      p.aBits = p.bBits = 8;
      p.aGranule = p.bGranule = 128;
      p.aPromotes = p.bPromotes = true;
      p.outGranule = i == 0 ? 128 : 0;
      layer.frame.quantises = true;
    } else if (dtype == "w4a16-g128") {
      p.bBits = 4;
      p.bGranule = 128;
    }
    p.gather = i == 0;
    p.gateRun = i == 0 ? sizes.intermediate : 0;
    p.gateHalves = i == 0;
    p.sumsRows = p.roundsRows = i == 1;
    p.rowsPerExpert = workload.getRowsPerExpert();
    p.hitExperts = workload.getHitExperts();
    p.units = int64_t(device.figures.computeUnits);
    layer.gemms.push_back(p);
  }
  return layer;
}

} // namespace mlir::moe

#endif // MOEC_TEST_COSTMODEL_LAYERS_H
