//===- Options.cpp - The command line of moe-tune -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/TuneOptions.h"

#include "moec/TunedConfigs/TunedFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

StringRef mlir::moe::getTuneHelp() {
  return R"(OVERVIEW: measures the tile sizes that the selector ranks first

USAGE: moe-tune (FILE.mlir | --hf-config config.json | --model NAME)
                [--target T] -o TABLE.json [options]

What is tuned:
  FILE.mlir, --hf-config, --model, --dtype, --tp, --ep, --isa
                        as for moe-compile
  --target T            cpu (default), or a GPU: see --kit and --measured
  --tokens N[,N...]     token counts, or ladder for the 18 of vLLM's and
                        SGLang's tuners, 1 to 4096 (default 1,16,256)
  --routing A[,A...]    balanced, uniform, zipf1, zipf2, hot16 (default: zipf1);
                        a choice is measured with all of them
  --topk-ids F.npy[,F.npy...]  recorded expert ids instead, [tokens, k], of one or
                        several layers; files with as many tokens belong
                        together. A .pt file of PyTorch becomes one with
                        python -m moec.topk_ids FILE.pt
  --seed N              of weights and routing (default 0)

How:
  --top K               candidates per token count (default 12)
  --runs N              timed runs of each, with cold caches (default 5)
  --margin X            a choice must be faster than the selector's by this share
                        (default 0.02)
  --repeats N           in so many comparisons in turn (default 3)
  --workers N           threads (default: one per CPU)
  --journal FILE        where measurements are kept; an interrupted run goes on
                        from there (default: TABLE.json.journal)
  --restart             forget them

What comes out:
  -o TABLE.json         our table, for moe-compile --config TABLE.json
  --vllm DIR            also vLLM's file for the ladder of batch sizes
  --sglang DIR          also SGLang's two, the second one with _down
  --device-name NAME    of the device in their names (default: this machine's)
  --kit DIR             for a GPU: instead of measuring, a folder that
                        gpu-kit/run sweep measures (docs/gpu-kit.md)
  --measured FILE.json  for a GPU: what that has measured, for the table
  --quiet               no progress
  --version, --help

EXAMPLES:
  moe-tune --model qwen3-30b-a3b --tokens 1,64 -o table.json
  moe-tune layer.mlir --tokens ladder --vllm configs -o table.json
  moe-tune --model qwen3-30b-a3b --target sm_90a --tokens 64 --kit sweep
  moe-tune --model qwen3-30b-a3b --target sm_90a --tokens 64 \
           --measured sweep-qwen3-30b-a3b-bf16.json -o table.json
)";
}

static Error makeError(const Twine &message) {
  return llvm::createStringError(message);
}

static Error parseNumber(StringRef option, StringRef text, int64_t &value,
                         int64_t low, int64_t high) {
  if (!text.getAsInteger(10, value) && value >= low && value <= high)
    return Error::success();
  return makeError("option '" + option + "': '" + text +
                   "' is no integer in [" + Twine(low) + ", " + Twine(high) +
                   "]");
}

static Error parseRoutings(StringRef text,
                           std::vector<RoutingArchetype> &routings) {
  routings.clear();
  for (StringRef name : llvm::split(text, ',')) {
    std::optional<RoutingArchetype> one = parseRoutingArchetype(name);
    if (!one)
      return makeError("option '--routing': '" + name +
                       "' is none of balanced, uniform, zipf1, zipf2, hot16");
    routings.push_back(*one);
  }
  return Error::success();
}

static Error parseFiles(StringRef text, std::vector<std::string> &files) {
  for (StringRef name : llvm::split(text, ',')) {
    if (name.empty())
      return makeError("option '--topk-ids': an empty name in '" + text + "'");
    files.push_back(name.str());
  }
  return Error::success();
}

/// Applies one option with a value. Returns whether it is one of this tool.
static Expected<bool> parseValue(TuneOptions &options, StringRef option,
                                 StringRef value) {
  int64_t number = 0;
  Error error = Error::success();
  std::string *text = llvm::StringSwitch<std::string *>(option)
                          .Case("-o", &options.output)
                          .Case("--journal", &options.journal)
                          .Case("--vllm", &options.vllm)
                          .Case("--sglang", &options.sglang)
                          .Case("--device-name", &options.device)
                          .Case("--kit", &options.kit)
                          .Case("--measured", &options.measured)
                          .Default(nullptr);
  if (text)
    *text = value.str();
  else if (option == "--routing")
    error = parseRoutings(value, options.routings);
  else if (option == "--topk-ids")
    error = parseFiles(value, options.idsFiles);
  else if (option == "--seed") {
    error = parseNumber(option, value, number, 0, INT64_MAX);
    options.seed = static_cast<uint64_t>(number);
  } else if (option == "--top")
    error = parseNumber(option, value, options.top, 1, 1000);
  else if (option == "--runs")
    error = parseNumber(option, value, options.runs, 1, 10000);
  else if (option == "--repeats")
    error = parseNumber(option, value, options.repeats, 1, 100);
  else if (option == "--workers") {
    error = parseNumber(option, value, number, 0, 4096);
    options.workers = static_cast<int>(number);
  } else if (option == "--margin") {
    if (value.getAsDouble(options.margin) || !(options.margin >= 0) ||
        options.margin >= 1)
      error =
          makeError("option '--margin': '" + value + "' is no share in [0, 1)");
  } else {
    llvm::consumeError(std::move(error));
    return false;
  }
  if (error)
    return std::move(error);
  return true;
}

/// Rules between options.
static Error check(TuneOptions &options) {
  const CompileCommand &layer = options.layer;
  StringRef target = layer.options.targets.front();
  if (layer.options.targets.size() != 1)
    return makeError("one target at a time; see --target in --help");
  if (!options.routings.empty() && !options.idsFiles.empty())
    return makeError("--routing and --topk-ids exclude one another");
  if (!options.kit.empty() && !options.measured.empty())
    return makeError("--kit is written before, --measured read after the "
                     "measurement: they exclude one another");
  bool handsOver = !options.kit.empty() || !options.measured.empty();
  if (target == "cpu" && handsOver)
    return makeError("--kit and --measured are for GPUs, the target is cpu");
  if (target != "cpu" && !handsOver)
    return makeError("target " + target +
                     ": moe-tune itself measures on CPUs; --kit writes a "
                     "folder that gpu-kit/run sweep measures on a GPU");
  if (options.kit.empty() && options.output.empty())
    return makeError("where to? See -o in --help");
  if (options.routings.empty() && options.idsFiles.empty())
    options.routings = {RoutingArchetype::Zipf1};
  if (options.journal.empty())
    options.journal = options.output + ".journal";
  return Error::success();
}

Expected<TuneOptions> mlir::moe::parseTuneOptions(ArrayRef<std::string> args) {
  TuneOptions options;
  // What is not of this tool is of moe-compile.
  std::vector<std::string> rest;
  bool target = false;
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef argument = args[i];
    bool *flag = llvm::StringSwitch<bool *>(argument)
                     .Case("--restart", &options.restart)
                     .Case("--quiet", &options.quiet)
                     .Case("--version", &options.version)
                     .Cases({"--help", "-h"}, &options.help)
                     .Default(nullptr);
    if (flag) {
      *flag = true;
      continue;
    }
    auto [option, value] = argument.split('=');
    bool attached = argument.contains('=');
    if (!attached)
      value = i + 1 < args.size() ? StringRef(args[i + 1]) : StringRef();
    for (StringRef foreign : {"--emit", "--config", "--tuned", "--explain"})
      if (option == foreign)
        return makeError("option '" + option + "' is one of moe-compile");
    Expected<bool> known = parseValue(options, option, value);
    if (!attached && i + 1 == args.size() && (!known || *known)) {
      llvm::consumeError(known.takeError());
      return makeError("option '" + option + "' needs a value");
    }
    if (!known)
      return known.takeError();
    if (*known) {
      i += !attached;
      continue;
    }
    target |= option == "--target";
    if (option == "--tokens" && value == "ladder") {
      std::string ladder;
      for (int64_t tokens : getTunedBatchLadder())
        ladder += (ladder.empty() ? "" : ",") + std::to_string(tokens);
      rest.push_back("--tokens=" + ladder);
      i += !attached;
      continue;
    }
    rest.push_back(argument.str());
  }
  if (options.help || options.version)
    return options;
  if (!target)
    rest.insert(rest.end(), {"--target", "cpu"});
  // It wants to know where to; that is not its matter here.
  rest.insert(rest.end(), {"-o", "none"});
  Expected<CompileCommand> layer = parseCompileCommand(rest);
  if (!layer)
    return layer.takeError();
  if (layer->probes)
    return llvm::createStringError(
        "--probes are for moe-compile; there is nothing to tune in them");
  options.layer = std::move(*layer);
  if (Error error = check(options))
    return std::move(error);
  return options;
}
