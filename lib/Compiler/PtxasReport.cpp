//===- PtxasReport.cpp - What ptxas says of kernels -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Ptxas.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::moe;
using llvm::StringRef;

const KernelResources *PtxasReport::find(StringRef kernel) const {
  auto it = llvm::find_if(kernels, [&](const KernelResources &resources) {
    return resources.kernel == kernel;
  });
  return it == kernels.end() ? nullptr : &*it;
}

/// The text between the first quotes behind `before`, "" if there are none.
static StringRef getQuoted(StringRef text, StringRef before) {
  size_t at = text.find(before);
  if (at == StringRef::npos)
    return "";
  return text.drop_front(at).split('\'').second.split('\'').first;
}

/// The integer before `unit`, if the piece is of the form "[used ]N unit".
static bool readCount(StringRef piece, StringRef unit, int64_t &count) {
  piece = piece.trim();
  piece.consume_front_insensitive("used ");
  return piece.consume_back(unit) && !piece.trim().getAsInteger(10, count);
}

/// "(C7514) Potential Performance Loss: ... in the function 'k'".
static bool readComplaint(StringRef line, PtxasReport &report) {
  size_t at = line.find("(C75");
  if (at == StringRef::npos)
    return false;
  auto [code, text] = line.drop_front(at + 1).split(')');
  // The kernel's name has a place of its own.
  std::string reason = (code + ": ").str();
  StringRef body = text.trim();
  for (StringRef tail : {" in the function '", " in function '"})
    body = body.substr(0, body.find(tail));
  reason += body;
  StringRef kernel = getQuoted(text, "function '");
  bool known = llvm::any_of(report.complaints, [&](const auto &complaint) {
    return complaint.kernel == kernel && complaint.reason == reason;
  });
  if (!known)
    report.complaints.push_back({kernel.str(), reason});
  return true;
}

PtxasReport mlir::moe::parsePtxasReport(StringRef text) {
  PtxasReport report;
  // "Function properties" may be those of a function that a kernel calls;
  // what it spills, its caller spills.
  KernelResources *current = nullptr;
  for (StringRef line : llvm::split(text, '\n')) {
    if (readComplaint(line, report))
      continue;
    if (StringRef name = getQuoted(line, "Compiling entry function '");
        !name.empty()) {
      report.kernels.emplace_back();
      current = &report.kernels.back();
      current->kernel = name.str();
      continue;
    }
    if (!current)
      continue;
    line.consume_front("ptxas info    :");
    StringRef pieces = line.trim();
    if (pieces.consume_front("Compile time =")) {
      double milliseconds = 0;
      if (!pieces.trim().split(' ').first.getAsDouble(milliseconds))
        current->seconds += milliseconds * 1e-3;
      continue;
    }
    for (StringRef piece : llvm::split(pieces, ',')) {
      int64_t count = 0;
      if (readCount(piece, "registers", count))
        current->registers = std::max(current->registers, count);
      else if (readCount(piece, "barriers", count))
        current->barriers = count;
      else if (readCount(piece, "bytes smem", count))
        current->sharedMemory = count;
      else if (readCount(piece, "bytes stack frame", count) ||
               readCount(piece, "bytes cumulative stack size", count))
        current->stack = std::max(current->stack, count);
      else if (readCount(piece, "bytes spill stores", count))
        current->spillStores += count;
      else if (readCount(piece, "bytes spill loads", count))
        current->spillLoads += count;
    }
  }
  for (const KernelResources &kernel : report.kernels) {
    if (kernel.spillStores || kernel.spillLoads)
      report.complaints.push_back(
          {kernel.kernel, "spills " + std::to_string(kernel.spillStores) +
                              " bytes and loads " +
                              std::to_string(kernel.spillLoads) +
                              " back, with " +
                              std::to_string(kernel.registers) + " registers"});
    else if (kernel.stack)
      report.complaints.push_back(
          {kernel.kernel, "has a stack frame of " +
                              std::to_string(kernel.stack) +
                              " bytes in global memory"});
  }
  return report;
}
