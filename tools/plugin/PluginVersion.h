//===- PluginVersion.h - Which LLVM a plugin may be loaded into -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TOOLS_PLUGIN_PLUGINVERSION_H
#define MOEC_TOOLS_PLUGIN_PLUGINVERSION_H

#include <array>
#include <string>

namespace mlir::moe {

/// Major, minor and patch number of an LLVM.
using LLVMVersion = std::array<unsigned, 3>;

/// Empty if a plugin built against `built` may be loaded into a host that runs
/// `host`; else one line that names both. MLIR's C++ interface promises nothing
/// across revisions, so nothing but the very same one is accepted.
inline std::string checkPluginVersion(const LLVMVersion &built,
                                      const LLVMVersion &host) {
  if (built == host)
    return {};
  auto print = [](const LLVMVersion &version) {
    return std::to_string(version[0]) + "." + std::to_string(version[1]) + "." +
           std::to_string(version[2]);
  };
  return "MoePlugin was built for LLVM " + print(built) +
         " and cannot be loaded into LLVM " + print(host) +
         "; rebuild it against that LLVM";
}

} // namespace mlir::moe

#endif // MOEC_TOOLS_PLUGIN_PLUGINVERSION_H
