//===- Ptxas.cpp - NVIDIA's assembler as a subprocess ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Ptxas.h"

#include "ChildProcess.h"
#include "moec/Support/FileIO.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;
namespace fs = llvm::sys::fs;

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

static Error createDirectory(TemporaryDirectory &directory) {
  if (std::error_code error = directory.create("moec-ptxas"))
    return llvm::createStringError(
        "cannot create a temporary directory for ptxas: " + error.message());
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Finding
//===----------------------------------------------------------------------===//

/// The path of the program and who named it ("" if it was looked for); an empty
/// path if there is none.
static std::pair<std::string, std::string> locate(StringRef path) {
  if (!path.empty())
    return {path.str(), "option '--ptxas'"};
  if (auto named = llvm::sys::Process::GetEnv("MOEC_PTXAS");
      named && !named->empty())
    return {*named, "MOEC_PTXAS"};
  llvm::SmallVector<std::string> places;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (auto home = llvm::sys::Process::GetEnv(variable);
        home && !home->empty())
      places.push_back(*home + "/bin/ptxas");
  if (auto found = llvm::sys::findProgramByName("ptxas"))
    places.push_back(*found);
  places.push_back("/usr/local/cuda/bin/ptxas");
  for (const std::string &place : places)
    if (fs::can_execute(place))
      return {place, ""};
  return {};
}

/// "13.0.88" of "... release 13.0, V13.0.88".
static std::string readVersion(StringRef text) {
  size_t at = text.find(", V");
  if (at == StringRef::npos)
    return "";
  return text.drop_front(at + 3)
      .take_while([](char c) { return llvm::isDigit(c) || c == '.'; })
      .str();
}

Expected<std::optional<Ptxas>> Ptxas::find(StringRef path) {
  auto [program, who] = locate(path);
  if (program.empty() || program == "none")
    return std::nullopt;
  auto refuse = [&, &who = who](const llvm::Twine &why) {
    return llvm::createStringError((who.empty() ? "ptxas" : who) + ": " + why);
  };
  // A name without a directory is looked for like any command.
  if (!StringRef(program).contains('/'))
    if (auto found = llvm::sys::findProgramByName(program))
      program = *found;
  if (!fs::can_execute(program))
    return refuse("'" + program + "' is no program that can be run");
  TemporaryDirectory directory;
  if (Error error = createDirectory(directory))
    return std::move(error);
  Expected<FinishedProcess> finished =
      runProcess(program, {"--version"}, directory, /*timeoutSeconds=*/20);
  if (!finished)
    return refuse(llvm::toString(finished.takeError()));
  Ptxas result;
  result.path = program;
  result.version = readVersion(finished->output);
  if (finished->status != 0 || result.version.empty())
    return refuse("'" + program + "' does not tell its version as ptxas does");
  return result;
}

//===----------------------------------------------------------------------===//
// Assembling
//===----------------------------------------------------------------------===//

std::vector<std::string> Ptxas::getFlags(const NvidiaChip &chip) {
  return {"-v", "-O3", ("-arch=" + chip.name).str()};
}

/// The first message that says why, without the name of the temporary file.
static std::string getFirstError(const FinishedProcess &finished) {
  for (StringRef line : llvm::split(finished.output, '\n')) {
    for (StringRef severity : {"error   :", "fatal   :"}) {
      auto [where, what] = line.split(severity);
      if (what.empty())
        continue;
      size_t at = where.find("line ");
      std::string place =
          at == StringRef::npos
              ? ""
              : (where.drop_front(at).split(';').first + ": ").str();
      return place + what.trim().str();
    }
  }
  StringRef text = StringRef(finished.output).trim();
  if (text.empty())
    return "exit status " + std::to_string(finished.status) +
           " without a message";
  return text.split('\n').first.str();
}

Expected<Assembly> Ptxas::assemble(StringRef ptx,
                                   const NvidiaChip &chip) const {
  double start = now();
  TemporaryDirectory directory;
  if (Error error = createDirectory(directory))
    return std::move(error);
  std::string input = directory.file("kernels.ptx");
  std::string output = directory.file("kernels.cubin");
  if (Error error =
          writeFile(input, [&](llvm::raw_ostream &stream) { stream << ptx; }))
    return std::move(error);
  std::vector<std::string> arguments = getFlags(chip);
  arguments.insert(arguments.end(), {input, "-o", output});
  Expected<FinishedProcess> finished =
      runProcess(path, arguments, directory, timeoutSeconds);
  if (!finished)
    return finished.takeError();
  if (finished->status != 0)
    return llvm::createStringError(
        "ptxas " + version + " refuses the PTX: " + getFirstError(*finished));
  Assembly result;
  Expected<std::string> cubin = readWholeFile(output);
  if (!cubin)
    return cubin.takeError();
  if (cubin->empty())
    return llvm::createStringError("ptxas " + version +
                                   " succeeded without any code");
  result.cubin = std::move(*cubin);
  result.messages = std::move(finished->output);
  result.report = parsePtxasReport(result.messages);
  result.seconds = now() - start;
  return result;
}
