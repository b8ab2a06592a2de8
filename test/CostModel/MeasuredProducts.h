//===- MeasuredProducts.h - Products that were timed on a GPU ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads what test/GpuKit/timings.py writes.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_COSTMODEL_MEASUREDPRODUCTS_H
#define MOEC_TEST_COSTMODEL_MEASUREDPRODUCTS_H

#include "Layers.h"

#include <fstream>
#include <map>
#include <sstream>

namespace mlir::moe {

/// One configuration of both products, and what they took.
struct Timing {
  RuleConfig configs[2];
  /// Of the products alone and of the layer, in seconds.
  double parts[2] = {0, 0}, layer = 0;
};

/// All of them for one layer, token count and routing.
struct Cell {
  std::string dtype, model, routing;
  int64_t tokens = 0;
  LayerSizes sizes;
  std::vector<int64_t> rows;
  /// The fastest of the whole grid.
  double least[2] = {0, 0}, leastLayer = 0;
  std::vector<Timing> timings;
};

/// The model that the numbers of the kernels come from.
inline const char fittedModel[] = "qwen3-30b-a3b";

/// A launch alone between two events, of which the layer has one.
inline const double aloneSeconds = 2.5e-6;

inline RuleConfig readConfig(std::istringstream &words) {
  RuleConfig config;
  std::string side;
  words >> config.blockM >> config.blockN >> config.blockK >> config.stages >>
      side >> config.store >> config.computeGroups >> config.order >>
      config.partial;
  config.swap = side == "w";
  config.b = "desc";
  if (config.partial == "-")
    config.partial.clear();
  return config;
}

/// The cells of a file. `error` gets the first line that cannot be read.
inline std::vector<Cell> readCells(const std::string &path,
                                   std::string &error) {
  std::map<std::string, LayerSizes> models;
  std::vector<Cell> cells;
  std::ifstream file(path);
  if (!file)
    error = "cannot read " + path;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, name;
    words >> kind;
    if (kind == "model") {
      words >> name;
      LayerSizes &sizes = models[name];
      words >> sizes.experts >> sizes.topk >> sizes.hidden >>
          sizes.intermediate;
    } else if (kind == "cell") {
      Cell cell;
      words >> cell.dtype >> cell.model >> cell.tokens >> cell.routing >> name;
      cell.sizes = models[cell.model];
      int64_t count, experts;
      for (char x; words >> count >> x >> experts;)
        cell.rows.insert(cell.rows.end(), experts, count);
      cells.push_back(cell);
    } else if ((kind == "least" || kind == "time") && cells.empty()) {
      error = line + ": no cell begins before it";
      return cells;
    } else if (kind == "least") {
      Cell &cell = cells.back();
      words >> cell.least[0] >> cell.least[1] >> cell.leastLayer;
      for (double *time : {&cell.least[0], &cell.least[1], &cell.leastLayer})
        *time *= 1e-6;
    } else if (kind == "time") {
      Timing timing;
      words >> timing.parts[0] >> timing.parts[1] >> timing.layer;
      for (double *time : {&timing.parts[0], &timing.parts[1], &timing.layer})
        *time *= 1e-6;
      for (RuleConfig &config : timing.configs)
        config = readConfig(words);
      if (!words && error.empty())
        error = line;
      cells.back().timings.push_back(timing);
    }
  }
  return cells;
}

} // namespace mlir::moe

#endif // MOEC_TEST_COSTMODEL_MEASUREDPRODUCTS_H
