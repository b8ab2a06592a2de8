//===- Driver.cpp - moe-run as a library ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Driver.h"
#include "moec/Driver/Report.h"
#include "moec/Routing/SpaceMap.h"
#include "moec/Support/FileIO.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

/// Prints an error as one line; the exit status of a failed run.
static int fail(Error error) {
  llvm::errs() << "moe-run: error: " << llvm::toString(std::move(error))
               << "\n";
  return 1;
}

static int runLayer(RunOptions options) {
  if (Error error = makeCases(options))
    return fail(std::move(error));
  Expected<std::unique_ptr<Session>> session = Session::open(options);
  if (!session)
    return fail(session.takeError());
  std::vector<CaseResult> cases;
  bool passed = true;
  for (const RunCase &run : options.cases) {
    Expected<CaseResult> result = (*session)->run(run);
    if (!result)
      return fail(result.takeError());
    printCase(llvm::outs(), (*session)->getSpec(), options, *result);
    passed &= !result->check || result->check->passed;
    cases.push_back(std::move(*result));
  }
  if (!options.json.empty())
    if (Error error = writeFile(options.json, [&](llvm::raw_ostream &os) {
          os << llvm::formatv(
              "{0:2}\n", reportToJson((*session)->getSpec(), options, cases));
        }))
      return fail(std::move(error));
  if (!passed)
    return fail(llvm::createStringError("a result is off the reference by more "
                                        "than the tolerance"));
  return 0;
}

/// Words of a line, separated by blanks; no quoting.
static std::vector<std::string> splitWords(StringRef line) {
  SmallVector<StringRef> words;
  llvm::SplitString(line, words);
  return {words.begin(), words.end()};
}

static int runBatch(StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return fail(
        llvm::createStringError(path + ": " + file.getError().message()));
  SmallVector<StringRef> lines;
  (*file)->getBuffer().split(lines, '\n');
  int total = 0, failed = 0;
  for (StringRef line : lines) {
    line = line.trim();
    if (line.empty() || line.starts_with("#"))
      continue;
    ++total;
    std::vector<std::string> args = splitWords(line);
    int status =
        llvm::any_of(args,
                     [](StringRef arg) { return arg.starts_with("--batch"); })
            ? fail(llvm::createStringError(
                  "a batch cannot hold another --batch"))
            : runMain(args);
    if (status == 0)
      continue;
    ++failed;
    llvm::errs() << "moe-run: failed: " << line << "\n";
  }
  llvm::outs() << llvm::formatv("batch: {0} runs, {1} failed\n", total, failed);
  return failed ? 1 : 0;
}

int mlir::moe::runMain(ArrayRef<std::string> args) {
  Expected<RunOptions> options = parseRunOptions(args);
  if (!options)
    return fail(options.takeError());
  if (options->help) {
    llvm::outs() << getRunHelp();
    return 0;
  }
  if (options->version) {
    llvm::outs() << "moe-run " << moec_version() << ", LLVM "
                 << LLVM_VERSION_STRING << "\n";
    return 0;
  }
  if (options->spaceMap) {
    printSpaceMap(llvm::outs(), options->inputs.seed);
    return 0;
  }
  if (!options->batch.empty())
    return runBatch(options->batch);
  return runLayer(std::move(*options));
}
