//===- ProbeManifest.cpp - What a folder of probes says of itself ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Calibration/Probes.h"

#include "moec/Target/DeviceFile.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::moe;

static StringRef nameOf(ProbeMeasure measure) {
  switch (measure) {
  case ProbeMeasure::Rate:
    return "rate";
  case ProbeMeasure::Time:
    return "time";
  case ProbeMeasure::Chain:
    return "chain";
  case ProbeMeasure::DependentChain:
    return "dependent_chain";
  case ProbeMeasure::Empty:
    return "empty";
  }
  return "";
}

static StringRef nameOf(ProbeFigure::Kind kind) {
  switch (kind) {
  case ProbeFigure::Kind::Driver:
    return "driver";
  case ProbeFigure::Kind::Mean:
    return "mean";
  case ProbeFigure::Kind::Max:
    return "max";
  case ProbeFigure::Kind::PerUnitAndClock:
    return "per_unit_and_clock";
  case ProbeFigure::Kind::Relative:
    return "relative";
  case ProbeFigure::Kind::Like:
    return "like";
  }
  return "";
}

static void printArgument(llvm::json::OStream &json,
                          const ProbeArgument &argument) {
  json.object([&] {
    switch (argument.kind) {
    case ProbeArgument::Kind::Buffer:
      json.attribute("buffer", argument.buffer);
      return;
    case ProbeArgument::Kind::Value:
      json.attribute("value", argument.value);
      break;
    case ProbeArgument::Kind::Threads:
      json.attribute("count", "threads");
      break;
    case ProbeArgument::Kind::Blocks:
      json.attribute("count", "blocks");
      break;
    }
    json.attribute("bits", int64_t(argument.bits));
  });
}

static void printRuns(llvm::json::OStream &json, StringRef key,
                      ArrayRef<Probe> runs) {
  json.attributeArray(key, [&] {
    for (const Probe &probe : runs)
      json.object([&] {
        json.attribute("name", probe.name);
        json.attribute("measure", nameOf(probe.measure));
        if (!probe.kernel.empty()) {
          json.attribute("kernel", probe.kernel);
          json.attribute(probe.perUnit ? "blocks_per_unit" : "blocks",
                         probe.blocks);
          json.attribute("threads", probe.threads);
          json.attribute("shared_bytes", probe.sharedBytes);
          json.attributeArray("arguments", [&] {
            for (const ProbeArgument &argument : probe.arguments)
              printArgument(json, argument);
          });
        }
        json.attribute(probe.workPerBlock ? "work_per_block" : "work",
                       probe.work);
        if (!probe.unit.empty())
          json.attribute("unit", probe.unit);
      });
  });
}

std::string mlir::moe::printProbeManifest(const ProbeSet &probes,
                                          StringRef text, StringRef code,
                                          ArrayRef<Device> devices) {
  std::string result;
  llvm::raw_string_ostream stream(result);
  llvm::json::OStream json(stream, 1);
  json.object([&] {
    json.attribute("probes_version", 1);
    json.attribute("target", probes.target);
    json.attribute("text", text);
    json.attribute("code", code);
    json.attributeArray("buffers", [&] {
      for (const ProbeBuffer &buffer : probes.buffers)
        json.object([&] {
          json.attribute("name", buffer.name);
          json.attribute("bytes", int64_t(buffer.bytes));
        });
    });
    printRuns(json, "setup", probes.setup);
    printRuns(json, "probes", probes.probes);
    json.attributeArray("figures", [&] {
      for (const ProbeFigure &figure : probes.figures) {
        auto field =
            llvm::find_if(getDeviceFields(), [&](const DeviceField &field) {
              return figure.key == field.key;
            });
        json.object([&] {
          json.attribute("figure", figure.key);
          json.attribute("unit", field->unit);
          json.attribute("take", nameOf(figure.kind));
          json.attributeArray("from", [&] {
            for (const std::string &name : figure.from)
              json.value(name);
          });
        });
      }
    });
    json.attributeArray("devices", [&] {
      for (const Device &device : devices) {
        // Texts of our own: they parse.
        json.value(llvm::cantFail(llvm::json::parse(printDevice(device))));
      }
    });
  });
  return result + "\n";
}
