//===- FuzzDriver.cpp - Runs many generated modules, each by itself -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads modules from the standard input, separated by lines `// -----`. The
// first line of each says what to do with it:
//
//   // passes: P,P{OPTION=V}  the passes, then print and parse the result
//   // compile: ISA TOKENS   the way of moe-compile to an object file
//
// Every module runs in a process of its own, forked after the set-up, so a
// crash ends that module only. The answer is one line per module with fields
// separated by tabs: status, bytes of object code, the ops seen, the passes
// run, message. Status `ok`, `invalid` (does not parse or verify) and `refused`
// (by a pass or by the compiler) are legal, all else is a defect:
//
//   crash    signal, exit, sanitizer's report, fatal error of LLVM
//   hang     ran longer than --limit seconds, or waited for five times that
//   silent   failed without a diagnostic
//   noisy    succeeded in spite of an error's diagnostic
//   reparse  the printed result does not parse
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "moec/Compiler/Compile.h"
#include "moec/InitAll.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>
#include <set>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;

namespace {
/// What is told about one module.
struct Outcome {
  std::string status = "ok";
  size_t objectBytes = 0;
  std::set<std::string> ops, passes;
  std::string message;
};

/// Notes the passes that ran and the ops that they left.
class Coverage : public PassInstrumentation {
public:
  explicit Coverage(Outcome &outcome) : outcome(outcome) {}

  static void note(Operation *op, Outcome &outcome) {
    op->walk([&](Operation *inner) {
      if (inner->getName().getDialectNamespace().starts_with("moe"))
        outcome.ops.insert(inner->getName().getStringRef().str());
    });
  }
  void runBeforePass(Pass *pass, Operation *) override {
    if (!pass->getArgument().empty())
      outcome.passes.insert(pass->getArgument().str());
  }
  void runAfterPass(Pass *, Operation *op) override { note(op, outcome); }

private:
  Outcome &outcome;
};

/// One module, from its text to an outcome.
class Trial {
public:
  Trial(MLIRContext &context, StringRef text) : context(context), text(text) {}
  Outcome run();

private:
  void conclude(LogicalResult result, StringRef status);
  LogicalResult runPasses(ModuleOp module, StringRef pipeline);
  LogicalResult compile(ModuleOp module, StringRef arguments);

  MLIRContext &context;
  StringRef text;
  Outcome outcome;
  unsigned errors = 0;
};
} // namespace

namespace {
/// Does what no pass may do, so that a test sees each defect found.
struct Misbehave : PassWrapper<Misbehave, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Misbehave)
  Misbehave() = default;
  Misbehave(const Misbehave &other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "fuzz-misbehave"; }
  StringRef getDescription() const override { return "has a known defect"; }

  void runOnOperation() override {
    if (how == "crash")
      abort();
    if (how == "exit")
      exit(1);
    if (how == "hang")
      pause();
    for (volatile bool forever = how == "loop"; forever;)
      continue;
    if (how == "chatty") {
      for (int i = 0; i < 100000; ++i)
        llvm::outs() << i << "\n";
      llvm::outs().flush();
    }
    if (how == "noisy")
      getOperation().emitError("an error that is none");
    if (how == "silent")
      signalPassFailure();
    // Prints as `#moe<"%%">`, which the dialect cannot parse.
    if (how == "reparse")
      getOperation()->setAttr(
          "fuzz.text", OpaqueAttr::get(StringAttr::get(&getContext(), "moe"),
                                       "%%", NoneType::get(&getContext())));
  }
  Option<std::string> how{*this, "how"};
};
} // namespace

/// Checks that a failure was explained, and only a failure.
void Trial::conclude(LogicalResult result, StringRef status) {
  if (failed(result))
    outcome.status = errors ? status.str() : "silent";
  else if (errors)
    outcome.status = "noisy";
  // The guard around the code generator reports crashes as diagnostics.
  if (StringRef(outcome.message).contains("failed: crash"))
    outcome.status = "crash";
}

/// Adds one pass or pipeline of the text, nested where it belongs.
static LogicalResult addPass(OpPassManager &passes, StringRef text) {
  auto [name, options] = text.split('{');
  options.consume_back("}");
  auto complain = [&](const Twine &message) {
    llvm::errs() << "fuzz: '" << text << "': " << message << "\n";
    return failure();
  };
  if (const PassInfo *pass = PassInfo::lookup(name))
    return pass->addToPipeline(passes, options, complain);
  if (const PassPipelineInfo *pipeline = PassPipelineInfo::lookup(name))
    return pipeline->addToPipeline(passes, options, complain);
  return complain("no such pass");
}

LogicalResult Trial::runPasses(ModuleOp module, StringRef pipeline) {
  PassManager passes(&context, ModuleOp::getOperationName(),
                     OpPassManager::Nesting::Implicit);
  passes.addInstrumentation(std::make_unique<Coverage>(outcome));
  for (StringRef text : llvm::split(pipeline, ','))
    if (failed(addPass(passes, text)))
      _exit(2);
  return passes.run(module);
}

LogicalResult Trial::compile(ModuleOp module, StringRef arguments) {
  auto [isa, tokens] = arguments.split(' ');
  moe::CompileOptions options;
  options.isas = {isa.str()};
  options.tokens = {1};
  if (tokens.getAsInteger(10, options.tokens[0])) {
    llvm::errs() << "fuzz: bad token count '" << tokens << "'\n";
    _exit(2);
  }
  options.link = false;
  // Every input is new, and none is seen again.
  options.cache = false;
  FailureOr<moe::CompiledLayer> layer = moe::compileLayer(module, options);
  if (failed(layer))
    return failure();
  for (const moe::CodeObject &code : layer->code)
    outcome.objectBytes += code.object.size();
  return success(outcome.objectBytes > 0);
}

Outcome Trial::run() {
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error && !errors++)
      outcome.message = diagnostic.str();
    return success();
  });
  auto [line, rest] = text.split('\n');
  // A copy: the parser wants a null after the text, and a text.
  OwningOpRef<ModuleOp> module =
      parseSourceString<ModuleOp>(rest.str(), &context);
  if (!module) {
    conclude(failure(), "invalid");
    return std::move(outcome);
  }
  Coverage::note(*module, outcome);
  if (line.consume_front("// compile: ")) {
    conclude(compile(*module, line), "refused");
    return std::move(outcome);
  }
  if (!line.consume_front("// passes: ")) {
    llvm::errs() << "fuzz: what to do with the module? '" << line << "'\n";
    _exit(2);
  }
  LogicalResult result = runPasses(*module, line);
  conclude(result, "refused");
  if (succeeded(result) && !errors) {
    std::string printed;
    llvm::raw_string_ostream(printed) << *module;
    if (!parseSourceString<ModuleOp>(printed, &context))
      outcome.status = "reparse";
  }
  return std::move(outcome);
}

/// The outcome as a line.
static std::string toLine(const Outcome &outcome) {
  std::string line;
  llvm::raw_string_ostream os(line);
  os << outcome.status << '\t' << outcome.objectBytes << '\t';
  llvm::interleave(outcome.ops, os, ",");
  os << '\t';
  llvm::interleave(outcome.passes, os, ",");
  os << '\t';
  for (char c : StringRef(outcome.message).take_front(300))
    os << (c == '\n' || c == '\t' ? ' ' : c);
  os << '\n';
  return line;
}

/// Runs one module in a child process; returns its line.
static std::string runForked(MLIRContext &context, StringRef text,
                             unsigned limit) {
  int ends[2];
  FILE *noise = tmpfile();
  if (!noise || pipe(ends) != 0)
    llvm::report_fatal_error("no pipe or no temporary file");
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    // The answers alone go to the standard output; passes print results there.
    dup2(fileno(noise), STDOUT_FILENO);
    dup2(fileno(noise), STDERR_FILENO);
    // Time of the processor: a busy machine makes no hang. One that waits for
    // ever is ended by the clock.
    rlimit seconds = {limit, RLIM_INFINITY};
    setrlimit(RLIMIT_CPU, &seconds);
    alarm(5 * limit);
    std::string line = toLine(Trial(context, text).run());
    for (StringRef left = line; !left.empty();) {
      ssize_t written = write(ends[1], left.data(), left.size());
      if (written <= 0)
        _exit(3);
      left = left.drop_front(written);
    }
    // No destructors: the process owns nothing that outlives it.
    _exit(0);
  }
  close(ends[1]);
  std::string line;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    line.append(buffer, got);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);

  std::string said;
  rewind(noise);
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, noise)) > 0;)
    said.append(buffer, got);
  fclose(noise);
  int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGALRM || signal == SIGXCPU)
    return toLine({"hang", 0, {}, {}, std::to_string(limit) + " s"});
  bool sanitizer = StringRef(said).contains("runtime error:") ||
                   StringRef(said).contains("Sanitizer:");
  if (status == 0 && !sanitizer)
    return line;
  llvm::errs() << StringRef(said).take_front(4000) << "\n";
  std::string how = signal ? "signal " + std::to_string(signal)
                           : "exit code " + std::to_string(WEXITSTATUS(status));
  return toLine({"crash", 0, {}, {}, how});
}

int main(int argc, char **argv) {
  StringRef mode = argc > 1 ? argv[1] : "";
  unsigned limit = 0;
  if (mode != "--ops" &&
      (!mode.consume_front("--limit=") || mode.getAsInteger(10, limit))) {
    llvm::errs() << "usage: FuzzDriver --ops | --limit=SECONDS < MODULES\n";
    return 2;
  }
  llvm::sys::PrintStackTraceOnErrorSignal(argv[0]);
  MLIRContext context(MLIRContext::Threading::DISABLED);
  moe::registerAllPasses();
  PassRegistration<Misbehave>();
  moe::prepareContext(context);
  context.loadAllAvailableDialects();
  context.printOpOnDiagnostic(false);
  if (mode == "--ops") {
    for (RegisteredOperationName name : context.getRegisteredOperations())
      if (name.getDialectNamespace().starts_with("moe"))
        llvm::outs() << name.getStringRef() << "\n";
    return 0;
  }
  auto input = llvm::MemoryBuffer::getSTDIN();
  if (!input)
    llvm::report_fatal_error("cannot read the standard input");
  SmallVector<StringRef> modules;
  (*input)->getBuffer().split(modules, "\n// -----\n", -1, false);
  for (StringRef text : modules) {
    llvm::outs() << runForked(context, text, limit);
    llvm::outs().flush();
  }
  return 0;
}
