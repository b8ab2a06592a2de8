//===- RunOptions.cpp - The command line of moe-run -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/RunOptions.h"
#include "moec/Support/TensorIO.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

StringRef mlir::moe::getRunHelp() {
  return R"(OVERVIEW: runs a Mixture-of-Experts layer, checks and times it

USAGE: moe-run (DIR | FILE.mlir) --tokens N[,N...] [options]
       moe-run --space-map [--seed S]
       moe-run --batch FILE

DIR is an artifact of moe-compile; FILE.mlir is compiled in memory.

Who computes:
  --reference          the reference interpreter instead of compiled kernels
  --emulate            GPU kernels on an emulated device that watches what they
                       do: races, accesses out of bounds, missing waits, ...
  --target NAME        of the emulated device, a GPU of moe-compile's; default:
                       the one that DIR has code for, else sm_90a
  --multiprocessors N  of the emulated device (default 8)
  --schedule S         seed of the order in which it runs warps and completes
                       copies; 0: warps in order, copies late (default)
  --device-tokens N    only N tokens exist, which the emulated device's memory
                       says; the others are to give rows of zeros
  --isa NAME           use no instruction set above x86-64, avx2, avx512,
                       avx512bf16
  --workers N          threads, 0 = one per CPU (default)
  --function NAME      the function of FILE.mlir to run, if it has several

What it computes on:
  --tokens N[,N...]    token counts, one run each
  --routing NAME       balanced (default), uniform, zipf1, zipf2, hot16
  --topk-ids F.npy[,...]
                       recorded expert ids [tokens, k], int32 or int64; one run
                       per file
  --seed S             seed of routing and data (default 0)
  --input NAME=FILE    an argument from a .npy or .safetensors file; further
                       ones by repeating the option

  --checkpoint DIR     weights from a Hugging Face checkpoint: plain, fp8 by
                       blocks, GPTQ, AWQ, or MXFP4 as GPT-OSS has it
  --layer N            which decoder layer of it (default: the first that has
                       experts)

What it tells:
  --check              compare with the reference; exit 1 above the tolerance
  --check-rows N       rows compared when there are more than 16 (default 64,
                       0 = all)
  --tolerance X        instead of the dtype's own
  --bench              time it: cold and warm caches, bandwidth, FLOP/s
  --repetitions N      timed runs (default: about a second's worth)
  --json FILE          all numbers as JSON
  --output FILE.npy    the first result
  --save-inputs F.safetensors
                       the arguments that it ran on
  --space-map          how the routing archetypes fill blocks of rows
  --batch FILE         every line is a command line; all are run, the exit
                       status is 1 if any of them failed
  --version, --help

EXAMPLES:
  moe-run qwen3.moec --tokens 1,16,256 --routing zipf1 --check
  moe-run layer.mlir --tokens 64 --bench --json bench.json
  moe-run layer.mlir --reference --tokens 4 --input x=x.npy --output y.npy
  moe-run qwen3.moec --checkpoint Qwen3-30B-A3B --layer 3 --tokens 16 --check
  moe-run layer.mlir --emulate --tokens 5 --schedule 3 --check
  moe-run --space-map --seed 0
)";
}

static Error makeError(const Twine &message) {
  return llvm::createStringError(message);
}

template <typename Integer>
static Error parseInteger(StringRef option, StringRef text, Integer least,
                          Integer most, Integer &value) {
  if (!text.getAsInteger(10, value) && value >= least && value <= most)
    return Error::success();
  return makeError("option '" + option + "': '" + text +
                   "' is no integer in [" + Twine(least) + ", " + Twine(most) +
                   "]");
}

static Error parseTokens(StringRef text, SmallVector<int64_t> &tokens) {
  for (StringRef piece : llvm::split(text, ',')) {
    int64_t count;
    if (Error error = parseInteger<int64_t>("--tokens", piece, 0,
                                            int64_t(1) << 24, count))
      return error;
    tokens.push_back(count);
  }
  return Error::success();
}

static Error parseInput(StringRef text, llvm::StringMap<std::string> &files) {
  auto [name, path] = text.split('=');
  if (name.empty() || path.empty())
    return makeError("option '--input': '" + text + "' is not NAME=FILE");
  if (!files.try_emplace(name, path.str()).second)
    return makeError("option '--input': argument '" + name +
                     "' is given twice");
  return Error::success();
}

/// Applies one option with a value. Returns whether it is known.
static Expected<bool> parseValue(RunOptions &options, StringRef option,
                                 StringRef value) {
  Error error = Error::success();
  if (option == "--tokens")
    error = parseTokens(value, options.tokens);
  else if (option == "--routing") {
    auto archetype = parseRoutingArchetype(value);
    if (archetype)
      options.inputs.routing = *archetype;
    else
      error = makeError("option '--routing': '" + value +
                        "' is none of balanced, uniform, zipf1, zipf2, hot16");
  } else if (option == "--topk-ids")
    for (StringRef file : llvm::split(value, ','))
      options.idsFiles.push_back(file.str());
  else if (option == "--seed")
    error = parseInteger<uint64_t>(option, value, 0, UINT64_MAX,
                                   options.inputs.seed);
  else if (option == "--input")
    error = parseInput(value, options.inputs.files);
  else if (option == "--check-rows")
    error =
        parseInteger<int64_t>(option, value, 0, INT32_MAX, options.checkRows);
  else if (option == "--tolerance") {
    if (value.getAsDouble(options.tolerance) || !(options.tolerance >= 0))
      error =
          makeError("option '--tolerance': '" + value + "' is no number >= 0");
  } else if (option == "--repetitions")
    error =
        parseInteger<int64_t>(option, value, 1, 1000000, options.repetitions);
  else if (option == "--workers")
    error = parseInteger<int>(option, value, 0, 4096, options.workers);
  else if (option == "--isa") {
    static constexpr StringRef known[] = {"x86-64", "avx2", "avx512",
                                          "avx512bf16"};
    options.isa = value.str();
    if (!llvm::is_contained(known, value))
      error = makeError("option '--isa': '" + value +
                        "' is none of x86-64, avx2, avx512, avx512bf16");
  } else if (option == "--target")
    options.target = value.str();
  else if (option == "--multiprocessors")
    error =
        parseInteger<int64_t>(option, value, 1, 1024, options.multiprocessors);
  else if (option == "--schedule")
    error = parseInteger<uint64_t>(option, value, 0, UINT64_MAX,
                                   options.scheduleSeed);
  else if (option == "--device-tokens")
    error = parseInteger<int64_t>(option, value, 0, INT32_MAX,
                                  options.deviceTokens);
  else if (option == "--function")
    options.function = value.str();
  else if (option == "--checkpoint")
    options.inputs.checkpoint = value.str();
  else if (option == "--layer")
    error =
        parseInteger<int64_t>(option, value, 0, 100000, options.inputs.layer);
  else if (option == "--save-inputs")
    options.saveInputs = value.str();
  else if (option == "--json")
    options.json = value.str();
  else if (option == "--output")
    options.output = value.str();
  else if (option == "--batch")
    options.batch = value.str();
  else {
    llvm::consumeError(std::move(error));
    return false;
  }
  if (error)
    return std::move(error);
  return true;
}

static bool parseFlag(RunOptions &options, StringRef option) {
  bool *flag = llvm::StringSwitch<bool *>(option)
                   .Case("--check", &options.check)
                   .Case("--bench", &options.bench)
                   .Case("--space-map", &options.spaceMap)
                   .Case("--version", &options.version)
                   .Cases({"--help", "-h"}, &options.help)
                   .Default(nullptr);
  if (flag)
    *flag = true;
  else if (option == "--reference")
    options.mode = RunMode::Reference;
  else if (option == "--emulate")
    options.mode = RunMode::Emulate;
  else
    return false;
  return true;
}

/// Rules between options. `emulated` is one that tells of the emulated device,
/// "" if there is none.
static Error checkOptions(const RunOptions &options, bool bothModes,
                          StringRef emulated) {
  if (options.help || options.version)
    return Error::success();
  int tasks = options.spaceMap + !options.batch.empty() + !options.path.empty();
  if (tasks == 0)
    return makeError("what to run? An artifact directory, a .mlir file, "
                     "--space-map or --batch; see --help");
  if (tasks > 1)
    return makeError("of an input, --space-map and --batch only one can be "
                     "given");
  if (bothModes)
    return makeError("of --reference and --emulate only one can be given");
  if (!options.path.empty() && options.tokens.empty() &&
      options.idsFiles.empty())
    return makeError("--tokens is missing");
  if (options.inputs.layer >= 0 && options.inputs.checkpoint.empty())
    return makeError("--layer is one of a --checkpoint");
  if (!emulated.empty() && options.mode != RunMode::Emulate)
    return makeError(emulated + " is for --emulate");
  if (options.bench && options.mode != RunMode::Kernels)
    return makeError("--bench times compiled kernels only");
  return Error::success();
}

Expected<RunOptions> mlir::moe::parseRunOptions(ArrayRef<std::string> args) {
  RunOptions options;
  bool reference = false, emulate = false;
  std::string emulated;
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef arg = args[i];
    if (!arg.starts_with("-") || arg == "-") {
      if (!options.path.empty())
        return makeError("one input at a time: '" + options.path + "' and '" +
                         arg + "'");
      options.path = arg.str();
      continue;
    }
    reference |= arg == "--reference";
    emulate |= arg == "--emulate";
    if (parseFlag(options, arg))
      continue;
    // "--option value" and "--option=value" are the same.
    auto [option, value] = arg.split('=');
    bool attached = option.size() != arg.size();
    if (option == "--target" || option == "--multiprocessors" ||
        option == "--schedule" || option == "--device-tokens")
      emulated = option.str();
    if (!attached && i + 1 < args.size())
      value = args[i + 1];
    Expected<bool> known = parseValue(options, option, value);
    if (!known) {
      if (attached || i + 1 < args.size())
        return known.takeError();
      llvm::consumeError(known.takeError());
      return makeError("option '" + option + "' needs a value");
    }
    if (!*known)
      return makeError("unknown option '" + arg + "'; see --help");
    if (!attached && ++i == args.size())
      return makeError("option '" + option + "' needs a value");
  }
  if (Error error = checkOptions(options, reference && emulate, emulated))
    return std::move(error);
  return options;
}

Error mlir::moe::makeCases(RunOptions &options) {
  options.cases.clear();
  if (options.idsFiles.empty()) {
    for (int64_t tokens : options.tokens)
      options.cases.push_back({tokens, ""});
    return Error::success();
  }
  if (!options.tokens.empty() &&
      options.tokens.size() != options.idsFiles.size())
    return makeError(Twine(options.tokens.size()) + " token counts, but " +
                     Twine(options.idsFiles.size()) + " files of expert ids");
  for (auto [i, file] : llvm::enumerate(options.idsFiles)) {
    Expected<HostTensor> ids = readNpy(file);
    if (!ids)
      return ids.takeError();
    if (ids->getRank() != 2)
      return makeError(file + ": shape " + formatShape(ids->getShape()) +
                       ", expert ids are [tokens, k]");
    options.cases.push_back(
        {options.tokens.empty() ? ids->getDim(0) : options.tokens[i], file});
  }
  return Error::success();
}
