//===- CompileCommand.cpp - The command line of moe-compile ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/CompileMain.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

StringRef mlir::moe::getCompileHelp() {
  return R"(OVERVIEW: compiles a Mixture-of-Experts layer to an artifact

USAGE: moe-compile (FILE.mlir | --hf-config config.json | --model NAME | --probes)
                   --target T[,T...] -o DIR [options]

What to compile:
  FILE.mlir             one function with moe operations, or one moe_tile.plan
                        and its kernels; - reads the standard input
  --hf-config FILE      the config.json of a Hugging Face model, or its directory
  --model NAME          a well-known model, e.g. qwen3-30b-a3b; an unknown name
                        lists all
  --dtype NAME          how weights are stored, e.g. bf16, fp8-block,
                        w4a16-g128; an unknown name lists all (default: what
                        the model says)
  --probes              no layer, but the kernels that measure a GPU, for
                        gpu-kit/run calibrate
  --tp N                split every expert over N ranks, compile one of them
  --ep N                split the experts over N ranks, compile one of them

What for:
  --target T[,T...]     cpu, sm_80, sm_89, sm_90a, sm_100a, sm_120, gfx942,
                        gfx950, gfx1100, gfx1151, gfx1201
  --device NAME|FILE    the device that times are predicted for, e.g. h200, or a
                        .json file (default: one that stands for the target);
                        host: this machine, measured at the first use
  --allow-missing-targets  list targets that are not built yet in the manifest
                        instead of failing
  --isa I[,I...]        for cpu: x86-64, avx2, avx512, avx512bf16 or native
                        (default: all four)
  --tokens N[,N...]     token counts to choose tile sizes for (default
                        1,16,256); each ends a range of its own, the last one's
                        range has no end
  --max-variants N      keep at most N variants of a target, those that cost
                        least by prediction (default: all that differ)
  --device-tokens       code for GPUs may be told in the GPU's memory how many
                        of the tokens exist, so that a captured graph serves
                        fewer; the others give rows of zeros
  --routing NAME        the routing to expect: balanced, uniform, zipf1, zipf2, hot16
  --topk-ids FILE.npy   recorded expert ids to expect
  --batch-invariant     one configuration for every token count, so that a
                        token's result does not depend on the others
  --deterministic       refuse configurations whose bits differ between runs
  --fix F=V[,F=V...]    fields that configurations must have: block_m, block_n,
                        block_k, stages, swap, formulation (grouped, gemv,
                        dense, dense_rows, dense_sum, one_launch);
                        align=sorted|direct: whether a launch sorts the slots or
                        tiles look up their experts; reduce_by=last: with
                        direct, tiles sum over top-k
  --config FILE.json    tile sizes from a table of moe-tune, or from a vLLM or
                        SGLang file; those of the down projection then from
                        FILE_down.json if that exists

What comes out:
  -o DIR                the artifact; replaces one that is there
  --emit FORM           instead, to the standard output: moe, tile, llvm (the
                        dialect), llvm-ir or asm, for sm_* also nvvm, ptx or
                        cubin, for gfx* rocdl or hsaco, for the first target,
                        instruction set and token count; prediction: JSON with
                        the times that the model predicts for each token count
  --ptxas PATH          NVIDIA's assembler, or none for PTX only (default:
                        $MOEC_PTXAS, bin of $CUDA_HOME and $CUDA_PATH, PATH,
                        /usr/local/cuda/bin)
  --ptxas-timeout N     seconds after which a run of ptxas is ended (default 120)
  --no-cache            make all anew instead of taking what was made before
                        from $MOEC_CACHE_DIR, $XDG_CACHE_HOME/moec or
                        ~/.cache/moec; the oldest go when there are more than
                        $MOEC_CACHE_SIZE MiB (default 1024; 0: no cache)
  --explain             the decisions with their reasons, made anew
  -v                    times of the phases, sizes of the code, registers and
                        shared memory of GPU kernels
  --version, --help

EXAMPLES:
  moe-compile --model qwen3-30b-a3b --dtype fp8-block --target cpu -o qwen3.moec
  moe-compile --hf-config config.json --tp 8 --target cpu --tokens 1,64 -o out
  moe-compile layer.mlir --target cpu --isa native -v -o layer.moec
  moe-compile layer.mlir --target cpu --isa avx512 --tokens 16 --emit asm
  moe-compile kernels.mlir --target sm_90a -v -o layer.moec
  moe-compile --probes --target sm_90a -o probes
)";
}

static Error makeError(const Twine &message) {
  return llvm::createStringError(message);
}

static Error parseNumber(StringRef option, StringRef text, int64_t &value) {
  if (!text.getAsInteger(10, value) && value >= 1 && value <= (1 << 24))
    return Error::success();
  return makeError("option '" + option + "': '" + text +
                   "' is no integer in [1, 16777216]");
}

static Error parseTokens(StringRef text, std::vector<int64_t> &tokens) {
  tokens.clear();
  if (text.empty())
    return makeError("option '--tokens': the list is empty");
  for (StringRef piece : llvm::split(text, ',')) {
    tokens.emplace_back();
    if (Error error = parseNumber("--tokens", piece, tokens.back()))
      return error;
  }
  return Error::success();
}

static Error parseNames(StringRef option, StringRef text,
                        std::vector<std::string> &names) {
  names.clear();
  for (StringRef piece : llvm::split(text, ',')) {
    if (piece.empty())
      return makeError("option '" + option + "': an empty name in '" + text +
                       "'");
    if (!llvm::is_contained(names, piece))
      names.push_back(piece.str());
  }
  return Error::success();
}

static Error parseChoice(StringRef option, StringRef text, std::string &value,
                         ArrayRef<StringRef> choices) {
  value = text.str();
  if (llvm::is_contained(choices, text))
    return Error::success();
  return makeError("option '" + option + "': '" + text + "' is none of " +
                   llvm::join(choices, ", "));
}

/// Applies one option with a value. Returns whether it is known.
static Expected<bool> parseValue(CompileCommand &command, StringRef option,
                                 StringRef value) {
  Error error = Error::success();
  if (option == "--hf-config")
    command.hfConfig = value.str();
  else if (option == "--model")
    command.model = value.str();
  else if (option == "--dtype")
    command.dtype = value.str();
  else if (option == "--tp")
    error = parseNumber(option, value, command.tensorParallel);
  else if (option == "--ep")
    error = parseNumber(option, value, command.expertParallel);
  else if (option == "--target")
    error = parseNames(option, value, command.options.targets);
  else if (option == "--isa")
    error = parseNames(option, value, command.options.isas);
  else if (option == "--tokens")
    error = parseTokens(value, command.options.tokens);
  else if (option == "--max-variants")
    error = parseNumber(option, value, command.options.maxVariants);
  else if (option == "--routing")
    error = parseChoice(option, value, command.routing,
                        {"balanced", "uniform", "zipf1", "zipf2", "hot16"});
  else if (option == "--device")
    command.device = value.str();
  else if (option == "--fix")
    command.fix = value.str();
  else if (option == "--topk-ids")
    command.topkIds = value.str();
  else if (option == "--emit")
    error = parseChoice(option, value, command.emit,
                        {"moe", "tile", "llvm", "llvm-ir", "asm", "nvvm", "ptx",
                         "cubin", "rocdl", "hsaco", "prediction"});
  else if (option == "--ptxas")
    command.options.ptxas = value.str();
  else if (option == "--ptxas-timeout") {
    int64_t seconds = 0;
    error = parseNumber(option, value, seconds);
    command.options.ptxasTimeout = static_cast<double>(seconds);
  } else if (option == "-o")
    command.output = value.str();
  else if (option == "--config" || option == "--tuned")
    command.tileFile = value.str();
  else {
    llvm::consumeError(std::move(error));
    return false;
  }
  if (error)
    return std::move(error);
  return true;
}

static bool parseFlag(CompileCommand &command, StringRef option) {
  bool *flag =
      llvm::StringSwitch<bool *>(option)
          .Case("--allow-missing-targets", &command.options.allowMissingTargets)
          .Case("--batch-invariant", &command.batchInvariant)
          .Case("--deterministic", &command.deterministic)
          .Case("--device-tokens", &command.options.deviceTokens)
          .Case("--explain", &command.explain)
          .Case("--no-cache", &command.noCache)
          .Case("--probes", &command.probes)
          .Cases({"-v", "--verbose"}, &command.verbose)
          .Case("--version", &command.version)
          .Cases({"--help", "-h"}, &command.help)
          .Default(nullptr);
  if (flag)
    *flag = true;
  return flag;
}

/// Rules between options.
static Error check(const CompileCommand &command) {
  int sources = !command.file.empty() + !command.hfConfig.empty() +
                !command.model.empty() + command.probes;
  if (sources == 0)
    return makeError("what to compile? A .mlir file, --hf-config or --model; "
                     "see --help");
  if (sources > 1)
    return makeError("a .mlir file, --hf-config, --model and --probes exclude "
                     "one another");
  if (command.probes && command.options.targets.size() > 1)
    return makeError("--probes are for one target, --target names " +
                     Twine(command.options.targets.size()));
  if (!command.file.empty() && (command.dtype || command.tensorParallel != 1 ||
                                command.expertParallel != 1))
    return makeError("--dtype, --tp and --ep describe a model; a .mlir file "
                     "has its types and shapes already");
  if (!command.routing.empty() && !command.topkIds.empty())
    return makeError("--routing and --topk-ids exclude one another");
  if (command.options.targets.empty())
    return makeError("for which target? See --target in --help");
  if (command.emit.empty() && command.output.empty())
    return makeError("where to? See -o in --help");
  if (!command.emit.empty() && !command.output.empty())
    return makeError("--emit writes to the standard output, -o an artifact: "
                     "they exclude one another");
  return Error::success();
}

Expected<CompileCommand>
mlir::moe::parseCompileCommand(ArrayRef<std::string> args) {
  CompileCommand command;
  command.options.targets.clear();
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef argument = args[i];
    if (argument == "-" || !argument.starts_with("-")) {
      if (!command.file.empty())
        return makeError("two files to compile: '" + command.file + "' and '" +
                         argument + "'");
      if (argument.empty())
        return makeError("the name of a file is empty");
      command.file = argument.str();
      continue;
    }
    if (parseFlag(command, argument))
      continue;
    auto [option, value] = argument.split('=');
    bool attached = argument.contains('=');
    if (!attached)
      value = i + 1 < args.size() ? StringRef(args[i + 1]) : StringRef();
    Expected<bool> known = parseValue(command, option, value);
    if (!attached && i + 1 == args.size() && (!known || *known)) {
      llvm::consumeError(known.takeError());
      return makeError("option '" + option + "' needs a value");
    }
    if (!known)
      return known.takeError();
    if (!*known)
      return makeError("unknown option '" + option + "'; see --help");
    i += !attached;
  }
  if (command.help || command.version)
    return command;
  command.options.cache = !command.noCache;
  if (!command.emit.empty() && command.options.targets.empty())
    command.options.targets = {"cpu"};
  if (Error error = check(command))
    return std::move(error);
  return command;
}
