//===- HostDevice.h - The machine that runs this ----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_HOSTDEVICE_H
#define MOEC_TARGET_HOSTDEVICE_H

#include "moec/Target/DeviceFile.h"

namespace mlir::moe {

/// Measures this machine's memory and arithmetic with all its threads; takes
/// about a second and `megabytes` of memory per thread.
Device measureHost(unsigned megabytes = 48);

/// The device "host" from `directory`/host-device.json; measured and written
/// there first if that file is missing, is not readable as a device, or is of a
/// machine with another number of threads. A directory that cannot be written
/// is no error: the machine is measured again next time.
Device getHostDevice(llvm::StringRef directory);

} // namespace mlir::moe

#endif // MOEC_TARGET_HOSTDEVICE_H
