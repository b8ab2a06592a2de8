//===- Compile.h - From a layer to code ------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The compiler as a library: a module goes in, a layer with code objects for
// every instruction set and range of token counts comes out. It is then written
// as an artifact or run in this process.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_COMPILE_H
#define MOEC_COMPILER_COMPILE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "moec/Compiler/Jit.h"
#include "moec/Compiler/Manifest.h"
#include "moec/Compiler/PlanReader.h"
#include "moec/Compiler/TileFile.h"

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::moe {

/// What compileLayer is to build.
struct CompileOptions {
  /// Names of targets, see getTargetNames.
  std::vector<std::string> targets = {"cpu"};
  /// Instruction sets for the target `cpu`; empty: all.
  std::vector<std::string> isas;
  /// Token counts to optimise for, each > 0. Every one is the last count of a
  /// range of its own; the range of the largest has no end.
  std::vector<int64_t> tokens = {1, 16, 256};
  /// Most variants of a target (of an instruction set, for `cpu`); 0: one for
  /// each token count whose decisions differ. Those that cost least by
  /// prediction are given up.
  int64_t maxVariants = 0;
  /// Targets that are not built yet are listed in the manifest; otherwise they
  /// are an error.
  bool allowMissingTargets = false;
  /// Tuned tile sizes of the two projections; empty: the selector chooses.
  GivenTiles tiles;
  /// Link shared objects; an artifact needs them, the JIT does not.
  bool link = true;
  /// Code for GPUs reads how many of the tokens exist from the GPU's memory,
  /// where the caller says so. That of CPUs is told by the caller.
  bool deviceTokens = false;
  /// Where ptxas is, as for Ptxas::find; "none": PTX only.
  std::string ptxas;
  /// Seconds after which a run of ptxas is ended.
  double ptxasTimeout = 120;
  /// Keep what is made in the cache of FileCache::getDefault, and look for it
  /// there: whole variants by everything that decides them, and machine code by
  /// its PTX.
  bool cache = true;
  /// Of these, whole variants too. Without, passes run and say what they have
  /// to.
  bool cacheVariants = true;
  /// Gets the times of all phases and the sizes of the code, if not null.
  llvm::raw_ostream *verbose = nullptr;
};

/// Code for one instruction set and one range of token counts.
struct CodeObject {
  /// Its file name in the artifact; `code` of the manifest's variants.
  std::string name;
  std::string isa;
  std::vector<std::string> kernels;
  /// What emitObject and linkSharedObject returned.
  std::string object;
  std::string sharedObject;
};

/// A file of the artifact.
struct ArtifactFile {
  std::string name;
  std::string bytes;
};

/// A compiled layer in memory.
struct CompiledLayer {
  /// The module that was compiled; `layer.mlir` of the artifact, from which
  /// the reference interpreter computes what the kernels should.
  std::string source;
  Manifest manifest;
  /// For CPUs.
  std::vector<CodeObject> code;
  /// For GPUs: PTX, cubins and HSACO.
  std::vector<ArtifactFile> files;
  /// What a user should know although all went well, a line each.
  std::vector<std::string> notes;
};

/// Kernels of a layer for a GPU before they become code.
struct GpuKernels {
  /// `llvm.func` kernels with operations of the vendor's dialects, arith, ...;
  /// the plan has been taken out.
  OwningOpRef<ModuleOp> module;
  PlanInfo plan;
  /// The layer's name.
  std::string name;
};

/// Every target that has a name, built or not.
ArrayRef<StringRef> getTargetNames();

/// True for the targets that this compiler builds.
bool isTargetBuilt(StringRef target);

/// Prepares a context for compileLayer: dialects, translations, loaded in
/// advance. Not while several threads use the context.
void prepareContext(MLIRContext &context);

/// Gives the functions of the module with moe operations a last argument
/// tensor<1xi32> with `moe.device_tokens`, the number of tokens that exist,
/// unless they have one.
void addDeviceTokens(ModuleOp module);

/// Takes arguments with `moe.device_tokens` away, as if all tokens exist; true
/// if there were any. A diagnostic if an operation uses one.
FailureOr<bool> takeDeviceTokens(ModuleOp module);

/// Compiles the one layer of the module: a function with a moe operation on
/// tensors, or a `moe_tile.plan` with its kernels. The module is not changed.
/// Errors, those of the options included, are diagnostics; there is no partial
/// result. Several threads may compile modules of different contexts.
FailureOr<CompiledLayer> compileLayer(ModuleOp module,
                                      const CompileOptions &options);

/// Makes the kernels of the one layer of the module for a GPU and a token
/// count, with the best configuration. The module is not changed. Errors are
/// diagnostics.
FailureOr<GpuKernels> makeGpuKernels(ModuleOp module, StringRef target,
                                     int64_t tokens);

/// Writes the module as it is after some way to the code, for the first target,
/// instruction set and token count of the options: `moe` (all decisions made),
/// `tile` (kernels and plan), `llvm` (dialect), `llvm-ir`, `asm`; for NVIDIA
/// GPUs also `nvvm` (kernels and plan), `ptx` (the same as `asm`) and `cubin`,
/// for AMD's `rocdl` (kernels and plan) and `hsaco`. `prediction`: for each
/// token count, what the model says, as JSON.
LogicalResult emitForm(ModuleOp module, const CompileOptions &options,
                       StringRef form, llvm::raw_ostream &os);

/// Writes the artifact: a complete directory takes the place of `directory` in
/// one step, or nothing changes and a diagnostic at `location` says why. An
/// artifact that is there is replaced; anything else that is not an empty
/// directory is kept, and an error. Several processes may write the same
/// directory.
LogicalResult writeArtifact(Location location, const CompiledLayer &layer,
                            StringRef directory);

/// Runs the layer in this process. `layer` may go away afterwards.
FailureOr<std::unique_ptr<JitLayer>>
openInProcess(Location location, const CompiledLayer &layer,
              const moec_open_options *options = nullptr);

} // namespace mlir::moe

#endif // MOEC_COMPILER_COMPILE_H
