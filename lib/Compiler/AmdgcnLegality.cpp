//===- AmdgcnLegality.cpp - What the AMDGPU back end can take -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LLVM knows the instructions of all chips together. One that a chip does not
// have ends in the instruction selector, which names neither the operation nor
// the rule.
//
//===----------------------------------------------------------------------===//

#include "AmdgcnLegality.h"
#include "DeviceLegality.h"
#include "moec/Compiler/AmdgcnEmitter.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/Instructions.h"
#include "llvm/Support/AMDGPUAddrSpace.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Instructions by generation
//===----------------------------------------------------------------------===//

namespace {
/// Names of operations of rocdl, which are those of the intrinsics too.
struct InstructionRule {
  /// All names that begin like this; with a '$' at its end, this name alone.
  StringRef name;
  /// Generations that have it, as AmdChip::family begins; "": none of the chips
  /// that are built for.
  StringRef generations;
};
} // namespace

/// The first that fits counts; what fits none is common to all.
static constexpr InstructionRule instructionRules[] = {
    // Matrix products of CDNA. Those without a dot or .1k before 8- and 16-bit
    // types ended with CDNA2.
    {"mfma.scale.", "CDNA4"},
    {"mfma.f32.16x16x32.bf16$", "CDNA4"},
    {"mfma.f32.16x16x32.f16$", "CDNA4"},
    {"mfma.f32.32x32x16.bf16$", "CDNA4"},
    {"mfma.f32.32x32x16.f16$", "CDNA4"},
    {"mfma.i32.16x16x64.i8$", "CDNA4"},
    {"mfma.i32.32x32x32.i8$", "CDNA4"},
    {"mfma.f32.16x16x8.xf32$", "CDNA3"},
    {"mfma.f32.32x32x4.xf32$", "CDNA3"},
    {"mfma.f32.32x32x2bf16$", ""},
    {"mfma.f32.16x16x2bf16$", ""},
    {"mfma.f32.4x4x2bf16$", ""},
    {"mfma.f32.32x32x4bf16$", ""},
    {"mfma.f32.16x16x8bf16$", ""},
    {"mfma.i32.32x32x8i8$", ""},
    {"mfma.i32.16x16x16i8$", ""},
    {"mfma.", "CDNA3 CDNA4"},
    {"smfmac.f32.16x16x64.bf16$", "CDNA4"},
    {"smfmac.f32.16x16x64.f16$", "CDNA4"},
    {"smfmac.f32.32x32x32.bf16$", "CDNA4"},
    {"smfmac.f32.32x32x32.f16$", "CDNA4"},
    {"smfmac.i32.16x16x128.", "CDNA4"},
    {"smfmac.f32.16x16x128.", "CDNA4"},
    {"smfmac.i32.32x32x64.", "CDNA4"},
    {"smfmac.f32.32x32x64.", "CDNA4"},
    {"smfmac.", "CDNA3 CDNA4"},
    // Of RDNA.
    {"wmma.f32.16x16x16.fp8", "RDNA4"},
    {"wmma.f32.16x16x16.bf8", "RDNA4"},
    {"wmma.i32.16x16x32.iu4$", "RDNA4"},
    {"wmma.f32.16x16x16.", "RDNA3 RDNA4"},
    {"wmma.f16.16x16x16.", "RDNA3 RDNA4"},
    {"wmma.bf16.16x16x16.", "RDNA3 RDNA4"},
    {"wmma.i32.16x16x16.", "RDNA3 RDNA4"},
    {"wmma.", ""},
    {"swmmac.", "RDNA4"},
    // Memory.
    {"ds.read.tr", "CDNA4"},
    {"load.to.lds", "CDNA3 CDNA4"},
    {"global.load.lds", "CDNA3 CDNA4"},
    {"raw.ptr.buffer.load.lds", "CDNA3 CDNA4"},
    {"global.load.async.", ""},
    {"cluster.", ""},
    {"tensor.", ""},
    {"global.prefetch", ""},
    {"flat.prefetch", ""},
    {"ds.atomic.", ""},
    // Conversions.
    {"cvt.scalef32.pk8.", ""},
    {"cvt.scalef32.pk16.", ""},
    {"cvt.scalef32.sr.pk8.", ""},
    {"cvt.scalef32.sr.pk16.", ""},
    {"cvt.scalef32.", "CDNA4"},
    {"cvt.scale.", ""},
    {"cvt.f32.bf8", "CDNA3 CDNA4 RDNA4"},
    {"cvt.f32.fp8", "CDNA3 CDNA4 RDNA4"},
    {"cvt.pk.f32.", "CDNA3 CDNA4 RDNA4"},
    {"cvt.pk.bf8.f32", "CDNA3 CDNA4 RDNA4"},
    {"cvt.pk.fp8.f32", "CDNA3 CDNA4 RDNA4"},
    {"cvt.sr.", "CDNA3 CDNA4 RDNA4"},
    {"tanh", ""},
    // Exchanges between lanes.
    {"permlane16.swap", "CDNA4"},
    {"permlane32.swap", "CDNA4"},
    {"permlanex16", "RDNA3 RDNA4"},
    // Waits and barriers.
    {"s.barrier.signal$", "RDNA4"},
    {"s.barrier.wait$", "RDNA4"},
    {"s.barrier.", ""},
    {"s.get.", ""},
    {"s.wakeup.", ""},
    {"s.wait.asynccnt", ""},
    {"s.wait.tensorcnt", ""},
    {"s.wait.", "RDNA4"},
    {"s.waitcnt", "CDNA3 CDNA4 RDNA3"},
};

static bool matches(StringRef rule, StringRef name) {
  return rule.consume_back("$") ? name == rule : name.starts_with(rule);
}

/// "gfx942 (CDNA3, MI300X)".
static std::string describe(const AmdChip &chip) {
  return std::string(chip.name) + " (" + chip.family + ")";
}

/// `name`: of the operation, without its dialect.
static LogicalResult checkInstruction(Operation *op, StringRef name,
                                      const AmdChip &chip) {
  const auto *rule =
      llvm::find_if(instructionRules, [&](const InstructionRule &rule) {
        return matches(rule.name, name);
      });
  if (rule == std::end(instructionRules))
    return success();
  SmallVector<StringRef> generations;
  rule->generations.split(generations, ' ', -1, /*KeepEmpty=*/false);
  if (llvm::any_of(generations, [&](StringRef generation) {
        return StringRef(chip.family).starts_with(generation);
      }))
    return success();
  InFlightDiagnostic error = op->emitOpError()
                             << "is an instruction that " << describe(chip)
                             << " does not have";
  if (!generations.empty())
    error << "; " << llvm::join(generations, ", ")
          << (generations.size() == 1 ? " has" : " have") << " it";
  return error;
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

static int64_t getBits(Type type) {
  int64_t count = 1;
  if (auto vector = dyn_cast<VectorType>(type)) {
    count = vector.getNumElements();
    type = vector.getElementType();
  }
  return type.isIntOrFloat() ? count * type.getIntOrFloatBitWidth() : 0;
}

/// Lanes of RDNA4 hold what they need, the halves of RDNA3's waves hold the
/// same.
static LogicalResult checkWmma(Operation *op, StringRef name,
                               const AmdChip &chip) {
  StringRef type = name.rsplit('.').second;
  int64_t bits = llvm::StringSwitch<int64_t>(type)
                     .Cases({"f16", "bf16"}, 16)
                     .StartsWith("fp8", 8)
                     .StartsWith("bf8", 8)
                     .Default(0);
  if (!name.starts_with("wmma.") || !bits || op->getNumOperands() < 2)
    return success();
  int64_t needed = 16 * 16 * bits / 32 * (chip.major == 11 ? 2 : 1);
  for (unsigned i = 0; i < 2; ++i)
    if (int64_t found = getBits(op->getOperand(i).getType()); found != needed)
      return op->emitOpError()
             << "has an operand of " << found << " bits per lane; on "
             << describe(chip) << " it has " << needed;
  return success();
}

/// Bytes that go from global memory straight to LDS, per lane.
static LogicalResult checkDirectToLds(Operation *op, StringRef name,
                                      const AmdChip &chip) {
  auto size = op->getAttrOfType<IntegerAttr>("size");
  if (!size || !name.contains("lds"))
    return success();
  int64_t bytes = size.getInt();
  if (llvm::is_contained({1, 2, 4, 12, 16}, bytes) &&
      bytes <= chip.directToLdsBytes)
    return success();
  return op->emitOpError() << "brings " << bytes
                           << " bytes per lane to LDS; on " << describe(chip)
                           << " it can be 1, 2, 4"
                           << (chip.directToLdsBytes >= 16 ? ", 12, 16" : "");
}

/// The patterns of DPP that came or went.
static LogicalResult checkDpp(Operation *op, const AmdChip &chip) {
  auto dpp = dyn_cast<ROCDL::DPPUpdateOp>(op);
  if (!dpp)
    return success();
  int64_t control = dpp.getDppCtrl();
  bool wholeWave = (control >= 0x130 && control <= 0x13f) || control == 0x142 ||
                   control == 0x143;
  bool xorMask = control >= 0x160 && control <= 0x16f;
  if ((!wholeWave || chip.major == 9) && (!xorMask || chip.major > 9))
    return success();
  return op->emitOpError() << "has the DPP control " << control
                           << (wholeWave
                                   ? ", which crosses rows and ended with "
                                     "GCN and CDNA; "
                                   : ", a row mask, which began with "
                                     "RDNA; ")
                           << describe(chip) << " does not have it";
}

static LogicalResult checkOwn(Operation *op, const AmdChip &chip) {
  StringRef name = op->getName().stripDialect();
  if (auto call = dyn_cast<LLVM::CallIntrinsicOp>(op)) {
    name = call.getIntrin();
    if (!name.consume_front("llvm.amdgcn."))
      return success();
  } else if (!isa_and_nonnull<ROCDL::ROCDLDialect>(op->getDialect())) {
    return success();
  }
  if (failed(checkInstruction(op, name, chip)) ||
      failed(checkWmma(op, name, chip)) ||
      failed(checkDirectToLds(op, name, chip)))
    return failure();
  return checkDpp(op, chip);
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// What was seen to be selected beside what every GPU takes.
static bool isKnown(StringRef name, bool isDouble) {
  static const llvm::StringSet<> names = {"exp",  "exp2",  "exp10", "log",
                                          "log2", "log10", "sin",   "cos"};
  static const llvm::StringSet<> wide = {"ldexp", "canonicalize"};
  return wide.contains(name) || (!isDouble && names.contains(name));
}

LogicalResult mlir::moe::checkAmdgcnLegal(ModuleOp module,
                                          const AmdChip &chip) {
  auto check = [&](Operation *op) { return checkOwn(op, chip); };
  return checkDeviceLegal(
      module, {"ROCDL", "rocdl", "amdgcn.", "on AMD GPUs", isKnown, check});
}

//===----------------------------------------------------------------------===//
// LDS
//===----------------------------------------------------------------------===//

/// Adds the functions that use a value, through whatever constants.
static void collectUsers(const llvm::Value &value,
                         llvm::SmallPtrSetImpl<const llvm::Function *> &users) {
  for (const llvm::User *user : value.users()) {
    if (auto *instruction = dyn_cast<llvm::Instruction>(user))
      users.insert(instruction->getFunction());
    else
      collectUsers(*user, users);
  }
}

/// The functions that a set of functions is called by, and itself.
static void addCallers(llvm::SmallPtrSetImpl<const llvm::Function *> &users) {
  SmallVector<const llvm::Function *> pending(users.begin(), users.end());
  while (!pending.empty()) {
    const llvm::Function *function = pending.pop_back_val();
    llvm::SmallPtrSet<const llvm::Function *, 4> callers;
    collectUsers(*function, callers);
    for (const llvm::Function *caller : callers)
      if (users.insert(caller).second)
        pending.push_back(caller);
  }
}

static LogicalResult checkLds(Location location, const llvm::Module &module,
                              const AmdChip &chip,
                              llvm::ArrayRef<std::string> kernels) {
  llvm::StringMap<uint64_t> bytes;
  for (const llvm::GlobalVariable &global : module.globals()) {
    if (global.getAddressSpace() != llvm::AMDGPUAS::LOCAL_ADDRESS)
      continue;
    llvm::SmallPtrSet<const llvm::Function *, 4> users;
    collectUsers(global, users);
    addCallers(users);
    uint64_t size =
        module.getDataLayout().getTypeAllocSize(global.getValueType());
    for (const llvm::Function *user : users)
      bytes[user->getName()] += size;
  }
  for (const std::string &kernel : kernels)
    if (uint64_t used = bytes.lookup(kernel);
        used > static_cast<uint64_t>(chip.ldsBytes))
      return emitError(location)
             << "kernel '" << kernel << "' uses " << used
             << " bytes of LDS, a block on " << describe(chip)
             << " has at most " << chip.ldsBytes;
  return success();
}

LogicalResult mlir::moe::checkAmdgcnLegal(Location location,
                                          const llvm::Module &module,
                                          const AmdChip &chip,
                                          llvm::ArrayRef<std::string> kernels) {
  auto check = [](Operation *) { return success(); };
  if (failed(checkDeviceLegal(
          location, module,
          {"ROCDL", "rocdl", "amdgcn.", "on AMD GPUs", isKnown, check})))
    return failure();
  return checkLds(location, module, chip, kernels);
}
