//===- Progress.h - How far a long run is -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_TUNER_PROGRESS_H
#define MOEC_LIB_TUNER_PROGRESS_H

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

namespace mlir::moe {

/// A bar on a terminal, a line for every step elsewhere; on the standard error.
class Progress {
public:
  Progress(size_t total, bool quiet)
      : total(total), quiet(quiet), bar(llvm::errs().is_displayed() && !quiet) {
  }
  ~Progress() {
    if (bar && shown)
      llvm::errs() << "\n";
  }

  /// One step is done; `text` says which.
  void step(const llvm::Twine &text) {
    ++done;
    print(text);
  }
  /// Something that is no step.
  void note(const llvm::Twine &text) { print(text); }
  void setDone(size_t count) { done = count; }

private:
  void print(const llvm::Twine &text) {
    if (quiet)
      return;
    constexpr size_t width = 24, lineWidth = 110;
    size_t filled = total ? std::min(done, total) * width / total : width;
    std::string line = "[" + std::string(filled, '#') +
                       std::string(width - filled, '.') + "] " +
                       std::to_string(done) + "/" + std::to_string(total) +
                       " " + text.str();
    if (!bar) {
      llvm::errs() << line << "\n";
      return;
    }
    line.resize(lineWidth, ' ');
    llvm::errs() << "\r" << line;
    shown = true;
  }

  size_t total, done = 0;
  bool quiet, bar, shown = false;
};

} // namespace mlir::moe

#endif // MOEC_LIB_TUNER_PROGRESS_H
