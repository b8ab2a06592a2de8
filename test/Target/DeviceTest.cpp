//===- DeviceTest.cpp - Devices and their files ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/HostDevice.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>
#include <set>
#include <thread>

using namespace mlir::moe;
using llvm::StringRef;

namespace {
/// What a device must say, from its vendor's sheet.
struct Facts {
  const char *name, *arch;
  double units, sharedBytes, memoryGB, peakTBs, peak16, peak8, peak4;
};
const Facts facts[] = {
    {"a100-sxm4-80gb", "sm_80", 108, 166912, 80, 2.039, 312, 0, 0},
    {"b200", "sm_100a", 148, 232448, 180, 8, 2250, 4500, 9000},
    {"cpu", "cpu", 2, 0, 8, 0.1, 1, 0, 0},
    {"gfx1100", "gfx1100", 96, 65536, 24, 0.96, 122.8, 0, 0},
    {"gfx1151", "gfx1151", 40, 65536, 128, 0.256, 59.4, 0, 0},
    {"gfx1201", "gfx1201", 64, 65536, 16, 0.64, 195, 389, 0},
    {"h100-sxm", "sm_90a", 132, 232448, 80, 3.35, 989.4, 1978.9, 0},
    {"h20", "sm_90a", 78, 232448, 96, 4.0, 148, 296, 0},
    {"h200", "sm_90a", 132, 232448, 141, 4.8, 989.4, 1978.9, 0},
    {"l40s", "sm_89", 142, 101376, 48, 0.864, 362, 733, 0},
    {"mi300x", "gfx942", 304, 65536, 192, 5.3, 1307.4, 2614.9, 0},
    {"mi325x", "gfx942", 304, 65536, 256, 6.0, 1307.4, 2614.9, 0},
    {"mi355x", "gfx950", 256, 163840, 288, 8.0, 2516.6, 5033.2, 10066.3},
    {"rtx-5090", "sm_120", 170, 101376, 32, 1.792, 209.5, 419, 1676},
    {"rtx-pro-6000", "sm_120", 188, 101376, 96, 1.792, 503.8, 1007.6, 2015},
};

class KnownDevice : public testing::TestWithParam<Facts> {};

TEST_P(KnownDevice, SaysWhatItsSheetSays) {
  const Facts &want = GetParam();
  llvm::Expected<Device> found = findDevice(want.name);
  ASSERT_TRUE(bool(found)) << llvm::toString(found.takeError());
  const DeviceFigures &f = found->figures;
  EXPECT_EQ(found->arch, want.arch);
  EXPECT_EQ(f.computeUnits, want.units);
  EXPECT_EQ(f.sharedBytes, want.sharedBytes);
  EXPECT_EQ(f.memoryBytes, want.memoryGB * 1e9);
  // What is reached is below the peak, and not far below.
  EXPECT_LE(f.readRate, want.peakTBs * 1e12);
  EXPECT_LE(f.flops16, want.peak16 * 1e12);
  EXPECT_LE(f.flops8, want.peak8 * 1e12);
  EXPECT_LE(f.flops4, want.peak4 * 1e12);
  EXPECT_EQ(f.flops8 > 0, want.peak8 > 0);
  EXPECT_EQ(f.flops4 > 0, want.peak4 > 0);
  if (found->arch != "cpu") {
    EXPECT_GE(f.readRate, want.peakTBs * 1e12 * 0.75);
    EXPECT_GE(f.flops16, want.peak16 * 1e12 * 0.5);
  }
}

TEST_P(KnownDevice, IsConsistent) {
  Device device = llvm::cantFail(findDevice(GetParam().name));
  const DeviceFigures &f = device.figures;
  bool cpu = device.arch == "cpu";
  for (const DeviceField &field : getDeviceFields()) {
    if (cpu && !field.onCpu)
      continue;
    EXPECT_FALSE(device.sources[field.key].empty()) << field.key;
  }
  EXPECT_LE(f.gatherRate, f.readRate);
  EXPECT_LE(f.copyRate, f.readRate);
  EXPECT_GE(f.l2Rate, f.readRate);
  EXPECT_LE(f.unitReadRate, f.readRate);
  // All units together can read more than memory gives.
  EXPECT_GE(f.unitReadRate * f.computeUnits, f.readRate);
  EXPECT_LE(f.dependentLaunchSeconds, f.launchSeconds);
  if (!cpu)
    EXPECT_LE(f.sharedBytes, f.sharedBytesPerUnit);
  if (f.flops8 > 0)
    EXPECT_GE(f.flops8, f.flops16);
  EXPECT_GE(f.flops16, f.flops32);
  EXPECT_GT(device.getMatrixRate(16), 0);
  EXPECT_GE(device.getMatrixRate(8), device.getMatrixRate(16));
  EXPECT_GE(device.getMatrixRate(4), device.getMatrixRate(8));
}

TEST_P(KnownDevice, SurvivesARoundTrip) {
  Device device = llvm::cantFail(findDevice(GetParam().name));
  std::string text = printDevice(device);
  Device again = llvm::cantFail(parseDevice("again.json", text));
  EXPECT_EQ(printDevice(again), text);
  EXPECT_EQ(again.sources, device.sources);
  EXPECT_EQ(again.reportedNames, device.reportedNames);
  EXPECT_EQ(again.isDefault, device.isDefault);
  for (const DeviceField &field : getDeviceFields())
    EXPECT_EQ(again.figures.*field.member, device.figures.*field.member)
        << field.key;
  ASSERT_EQ(again.measuredBlocks.size(), device.measuredBlocks.size());
  for (double rows : {0.5, 1.25, 1.3, 10.0, 1e6})
    EXPECT_EQ(again.findMeasuredBlock(16, 16, rows),
              device.findMeasuredBlock(16, 16, rows));
}

INSTANTIATE_TEST_SUITE_P(All, KnownDevice, testing::ValuesIn(facts),
                         [](const auto &info) {
                           std::string name = info.param.name;
                           for (char &c : name)
                             if (c == '-')
                               c = '_';
                           return name;
                         });

TEST(KnownDevices, AreAllTested) {
  std::set<std::string> tested;
  for (const Facts &fact : facts)
    tested.insert(fact.name);
  for (const Device &device : getKnownDevices())
    EXPECT_TRUE(tested.count(device.name)) << device.name;
  EXPECT_EQ(getKnownDevices().size(), tested.size());
}

TEST(KnownDevices, AreFoundByTheNamesOfDrivers) {
  EXPECT_EQ(llvm::cantFail(findDevice("NVIDIA H100 80GB HBM3")).name,
            "h100-sxm");
  EXPECT_EQ(llvm::cantFail(findDevice("NVIDIA_H100_80GB_HBM3")).name,
            "h100-sxm");
  EXPECT_EQ(llvm::cantFail(findDevice("H100-SXM")).name, "h100-sxm");
  EXPECT_EQ(llvm::cantFail(findDevice("AMD_Instinct_MI300X")).name, "mi300x");
  llvm::Expected<Device> none = findDevice("h100");
  ASSERT_FALSE(bool(none));
  std::string text = llvm::toString(none.takeError());
  EXPECT_NE(text.find("unknown device 'h100'; known are a100-sxm4-80gb, b200"),
            std::string::npos)
      << text;
}

TEST(KnownDevices, OneStandsForEachArchitecture) {
  const std::pair<const char *, const char *> lines[] = {
      {"sm_80", "a100-sxm4-80gb"},
      {"sm_89", "l40s"},
      {"sm_90a", "h100-sxm"},
      {"sm_100a", "b200"},
      {"sm_120", "rtx-5090"},
      {"gfx942", "mi300x"},
      {"gfx950", "mi355x"},
      {"gfx1100", "gfx1100"},
      {"gfx1151", "gfx1151"},
      {"gfx1201", "gfx1201"},
      {"cpu", "cpu"}};
  for (auto [arch, name] : lines) {
    const Device *device = getDefaultDevice(arch);
    ASSERT_NE(device, nullptr) << arch;
    EXPECT_EQ(device->name, name);
  }
  EXPECT_EQ(getDefaultDevice("sm_75"), nullptr);
}

TEST(KnownDevices, MeasuredBlocksAreLookedUpByBounds) {
  Device device = llvm::cantFail(findDevice("h100-sxm"));
  EXPECT_EQ(device.findMeasuredBlock(16, 16, 1.25), 8);
  EXPECT_EQ(device.findMeasuredBlock(16, 16, 1.26), 16);
  EXPECT_EQ(device.findMeasuredBlock(16, 16, 12), 64);
  EXPECT_EQ(device.findMeasuredBlock(16, 16, 1e9), 128);
  EXPECT_EQ(device.findMeasuredBlock(32, 32, 1), 0);
  EXPECT_EQ(llvm::cantFail(findDevice("b200")).findMeasuredBlock(16, 16, 1), 0);
}

//===----------------------------------------------------------------------===//
// A user's file
//===----------------------------------------------------------------------===//

/// The file of a known device with one piece of text replaced.
std::string edited(StringRef from, StringRef to) {
  // Its probes would stand twice where a test adds some.
  Device device = *getDefaultDevice("sm_90a");
  device.probes.clear();
  std::string text = printDevice(device);
  size_t at = text.find(from.str());
  EXPECT_NE(at, std::string::npos) << from.str();
  if (at != std::string::npos)
    text.replace(at, from.size(), to.str());
  return text;
}

void expectError(const std::string &text, StringRef message) {
  llvm::Expected<Device> device = parseDevice("mine.json", text);
  ASSERT_FALSE(bool(device)) << message.str();
  std::string found = llvm::toString(device.takeError());
  EXPECT_NE(found.find(("device file 'mine.json': " + message).str()),
            std::string::npos)
      << found;
}

TEST(DeviceFile, ErrorsNameTheKey) {
  expectError("{", "");
  expectError("[]", "not a JSON object");
  expectError("{}", "key 'name' is missing or no text");
  expectError(edited("\"arch\"", "\"chip\""), "unknown key 'chip'");
  expectError(edited("\"clock_hz\"", "\"clock\""),
              "figure 'clock_hz' is missing or no [value, source]");
  expectError(edited("\"figures\": {", "\"figures\": {\"fans\": [3, \"s1\"],"),
              "unknown figure 'fans'");
  expectError(edited("\"s1\": ", "\"s77\": "),
              "figure 'compute_units' has the unknown source 's1'");
  std::string bad = edited("132,", "-132,");
  expectError(bad, "figure 'compute_units' is -132 1, not in [1, 100000]");
  expectError(edited("132,", "\"many\","),
              "figure 'compute_units' is no [value, source]");
  expectError(edited("\"default\": true", "\"default\": 1"),
              "key 'default' is no true or false");
  expectError(edited("\"a16_b16\": [", "\"a16_b16\": [[99, 8],"),
              "measured_blocks 'a16_b16' is no list of");
  expectError(edited("\"default\"", "\"probes\": [1], \"default\""),
              "key 'probes' is no object");
  expectError(edited("\"default\"", "\"probes\": {\"a.b\": 0}, \"default\""),
              "probe 'a.b' is no number above 0");
}

TEST(DeviceFile, KeepsWhatProbesShowed) {
  Device device = llvm::cantFail(parseDevice(
      "mine.json", edited("\"default\"", "\"probes\": {\"b\": 4.5e10, "
                                         "\"a.n8\": 2}, \"default\"")));
  ASSERT_EQ(device.probes.size(), 2u);
  EXPECT_EQ(device.probes["b"], 4.5e10);
  Device again = llvm::cantFail(parseDevice("again.json", printDevice(device)));
  EXPECT_EQ(again.probes, device.probes);
}

TEST(DeviceFile, IsReadFromAPath) {
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("device", "json", path));
  std::error_code error;
  llvm::raw_fd_ostream(path, error) << edited("\"h100-sxm\"", "\"mine\"");
  llvm::Expected<Device> device = findDevice(path);
  ASSERT_TRUE(bool(device)) << llvm::toString(device.takeError());
  EXPECT_EQ(device->name, "mine");
  llvm::sys::fs::remove(path);
  llvm::Expected<Device> gone = findDevice(path);
  ASSERT_FALSE(bool(gone));
  EXPECT_NE(llvm::toString(gone.takeError()).find("cannot read the device"),
            std::string::npos);
}

//===----------------------------------------------------------------------===//
// This machine
//===----------------------------------------------------------------------===//

TEST(HostDevice, IsMeasuredOnceAndKept) {
  llvm::SmallString<128> directory;
  ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("host-device", directory));
  Device first = getHostDevice(directory);
  EXPECT_EQ(first.name, "host");
  EXPECT_EQ(first.arch, "cpu");
  EXPECT_EQ(first.figures.computeUnits,
            std::max(1u, std::thread::hardware_concurrency()));
  EXPECT_GT(first.figures.readRate, 1e8);
  EXPECT_GT(first.figures.flops32, 1e8);
  EXPECT_EQ(first.sources["read_rate"].rfind("measured on this machine", 0),
            0u);
  // The second time nothing is measured: the same figures to the last digit.
  EXPECT_EQ(printDevice(getHostDevice(directory)), printDevice(first));
  // What is no device is measured anew.
  llvm::SmallString<128> file(directory);
  llvm::sys::path::append(file, "host-device.json");
  std::error_code error;
  llvm::raw_fd_ostream(file, error) << "{}";
  EXPECT_EQ(getHostDevice(directory).name, "host");
  EXPECT_TRUE(bool(findDevice(file)));
  llvm::sys::fs::remove_directories(directory);
  // Nowhere to write is no error.
  EXPECT_EQ(getHostDevice("/proc/none").name, "host");
}
} // namespace
