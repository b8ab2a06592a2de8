//===- ManifestTest.cpp - Lists of probes hold together -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "moec/Target/DeviceFile.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

const char *const kTargets[] = {"sm_80",   "sm_89",  "sm_90a", "sm_100a",
                                "sm_120",  "gfx942", "gfx950", "gfx1100",
                                "gfx1151", "gfx1201"};

class ProbeLists : public testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    FailureOr<ProbeSet> built = buildProbes(&context, GetParam());
    ASSERT_TRUE(succeeded(built));
    set = std::move(*built);
    ASSERT_TRUE(succeeded(verify(*set.module)));
  }
  /// Bytes of a buffer, 0 if there is none.
  uint64_t bytesOf(StringRef name) const {
    for (const ProbeBuffer &buffer : set.buffers)
      if (buffer.name == name)
        return buffer.bytes;
    return 0;
  }

  MLIRContext context;
  ProbeSet set;
};

TEST_P(ProbeLists, namesAreUniqueAndArgumentsFit) {
  llvm::StringSet<> names;
  for (const std::vector<Probe> *runs : {&set.setup, &set.probes})
    for (const Probe &probe : *runs) {
      if (runs == &set.probes) {
        EXPECT_TRUE(names.insert(probe.name).second) << probe.name;
        EXPECT_TRUE(probe.unit == "B/s" || probe.unit == "1/s" ||
                    probe.unit == "s")
            << probe.name;
      }
      if (probe.measure == ProbeMeasure::Empty)
        continue;
      auto kernel = set.module->lookupSymbol<LLVM::LLVMFuncOp>(probe.kernel);
      ASSERT_TRUE(kernel) << probe.name << " runs " << probe.kernel;
      ASSERT_EQ(kernel.getNumArguments(), probe.arguments.size()) << probe.name;
      for (auto [type, argument] :
           llvm::zip(kernel.getArgumentTypes(), probe.arguments)) {
        bool pointer = isa<LLVM::LLVMPointerType>(type);
        EXPECT_EQ(pointer, argument.kind == ProbeArgument::Kind::Buffer)
            << probe.name;
        EXPECT_EQ(pointer ? 64u : type.getIntOrFloatBitWidth(), argument.bits)
            << probe.name;
        if (pointer)
          EXPECT_GT(bytesOf(argument.buffer), 0u) << argument.buffer;
      }
      EXPECT_GT(probe.work, 0) << probe.name;
      EXPECT_GT(probe.threads, 0) << probe.name;
    }
}

TEST_P(ProbeLists, threadsAreThoseOfTheKernel) {
  for (const Probe &probe : set.probes) {
    auto kernel = set.module->lookupSymbol<LLVM::LLVMFuncOp>(probe.kernel);
    if (!kernel)
      continue;
    if (auto most = kernel->getAttrOfType<DenseI32ArrayAttr>("nvvm.maxntid")) {
      EXPECT_LE(probe.threads, most[0]) << probe.name;
      continue;
    }
    auto exact = kernel->getAttrOfType<DenseI32ArrayAttr>(
        StringRef(GetParam()).starts_with("gfx") ? "rocdl.reqd_work_group_size"
                                                 : "nvvm.reqntid");
    ASSERT_TRUE(exact) << probe.kernel;
    EXPECT_EQ(probe.threads, exact[0]) << probe.name;
  }
}

TEST_P(ProbeLists, windowsLieInTheirBuffers) {
  for (const Probe &probe : set.probes) {
    const auto &a = probe.arguments;
    if (probe.kernel == "probe_gather" || probe.kernel == "probe_scatter")
      EXPECT_LE(uint64_t(a[1].value) << (a[2].value + 4), bytesOf(a[0].buffer));
    if (probe.kernel == "probe_bulk_read") {
      EXPECT_LE(uint64_t(a[1].value * a[3].value), bytesOf(a[0].buffer));
      EXPECT_EQ(double(a[2].value * a[3].value), probe.work) << probe.name;
      EXPECT_EQ(a[3].value * a[4].value + 512, probe.sharedBytes);
      EXPECT_LE(a[4].value, 64);
    }
    if (probe.kernel == "probe_bulk_copy") {
      EXPECT_LE(uint64_t(a[2].value * a[3].value), bytesOf(a[1].buffer));
      EXPECT_GE(a[4].value, 2);
    }
    if (probe.kernel == "probe_read" || probe.kernel == "probe_copy")
      EXPECT_GE(bytesOf(a[0].buffer),
                16 * uint64_t(a.size() == 4 && probe.kernel == "probe_copy"
                                  ? a[2].value
                                  : a[1].value));
  }
}

TEST_P(ProbeLists, everyFigureHasOneRule) {
  llvm::StringSet<> keys, names;
  for (const Probe &probe : set.probes)
    names.insert(probe.name);
  for (const ProbeFigure &figure : set.figures) {
    EXPECT_TRUE(keys.insert(figure.key).second) << figure.key;
    if (figure.kind != ProbeFigure::Kind::Driver)
      for (const std::string &from : figure.from)
        EXPECT_TRUE(names.contains(from)) << figure.key << " from " << from;
    EXPECT_EQ(figure.from.empty(), figure.kind == ProbeFigure::Kind::Like);
  }
  EXPECT_EQ(keys.size(), getDeviceFields().size());
  for (const DeviceField &field : getDeviceFields())
    EXPECT_TRUE(keys.contains(field.key)) << field.key;
}

TEST_P(ProbeLists, theManifestIsJSONWithDevices) {
  std::vector<Device> devices;
  for (const Device &device : getKnownDevices())
    if (device.arch == GetParam())
      devices.push_back(device);
  std::string text = printProbeManifest(set, "a.ptx", "a.cubin", devices);
  auto parsed = llvm::json::parse(text);
  ASSERT_TRUE(bool(parsed)) << toString(parsed.takeError());
  const llvm::json::Object &object = *parsed->getAsObject();
  EXPECT_EQ(object.getString("target"), GetParam());
  EXPECT_EQ(object.getString("text"), "a.ptx");
  EXPECT_EQ(object.getArray("probes")->size(), set.probes.size());
  EXPECT_EQ(object.getArray("setup")->size(), set.setup.size());
  EXPECT_EQ(object.getArray("devices")->size(), devices.size());
  EXPECT_FALSE(devices.empty());
}

INSTANTIATE_TEST_SUITE_P(Targets, ProbeLists, testing::ValuesIn(kTargets));

TEST(Probes, refusesTargetsWithoutThem) {
  std::string why;
  EXPECT_TRUE(hasProbes("sm_90a", why));
  EXPECT_FALSE(hasProbes("cpu", why));
  EXPECT_NE(why.find("--device host"), std::string::npos) << why;
  MLIRContext context;
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    message = diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(buildProbes(&context, "sm_75")));
  EXPECT_NE(message.find("the target 'sm_75' has no probes"),
            std::string::npos);
}

} // namespace
