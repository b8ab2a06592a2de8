//===- DeviceFile.h - Devices from data files -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A device file is a JSON object:
//
//   "name", "product", "arch"   strings
//   "default"                   optional, true: stands for its architecture
//   "reported_names"            optional list of strings
//   "sources"                   {short name: where figures are from}
//   "figures"                   {key: [value, short name of its source]}
//   "measured_blocks"           optional {"source": short name, "a16_b16":
//                               [[mean rows at most, block m], ..., [0, last]]}
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_DEVICEFILE_H
#define MOEC_TARGET_DEVICEFILE_H

#include "moec/Target/Device.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// Parses the text of a device file; `path` begins the errors, which name the
/// key and what is wrong with it. Every figure must be there, with a source
/// from "sources" and a value in its range; unknown keys are errors.
llvm::Expected<Device> parseDevice(llvm::StringRef path, llvm::StringRef text);

/// The device as such a file, keys in the order of getDeviceFields.
std::string printDevice(const Device &device);

/// The devices that come with the compiler, in the order of their names.
const std::vector<Device> &getKnownDevices();

/// A known device by its name or by a name that its driver reports (any case,
/// runs of other characters than letters and digits are one '-'), or the device
/// in the file `nameOrPath` if that ends in ".json". An error lists the known.
llvm::Expected<Device> findDevice(llvm::StringRef nameOrPath);

/// The device that stands for an architecture if none is named: the known one
/// whose file says "default", else the first. Null for an unknown architecture.
const Device *getDefaultDevice(llvm::StringRef arch);

} // namespace mlir::moe

#endif // MOEC_TARGET_DEVICEFILE_H
