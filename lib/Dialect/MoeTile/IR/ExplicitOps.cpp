//===- ExplicitOps.cpp - Rings, roles, grid hand-over ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

using namespace mlir;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// On-chip memory and teams
//===----------------------------------------------------------------------===//

LogicalResult RingAllocOp::verify() {
  // ring_alloc_c1
  if (!isa<KernelOp>((*this)->getParentOp()))
    return emitOpError("ring_alloc_c1: stands at the top level of a kernel");
  return success();
}

LogicalResult BufAllocOp::verify() {
  // buf_alloc_c1
  if (!isa<KernelOp, RoleOp>((*this)->getParentOp()))
    return emitOpError("buf_alloc_c1: stands at the top level of a kernel or "
                       "of a role");
  return success();
}

LogicalResult RolesOp::verify() {
  llvm::SmallDenseSet<StringAttr> names;
  int64_t registers = 0;
  for (Operation &op : getBody().front()) {
    // roles_c1
    auto role = dyn_cast<RoleOp>(op);
    if (!role)
      return op.emitOpError("roles_c1: roles holds only moe_tile.role");
    // roles_c2
    if (!names.insert(role.getSymNameAttr()).second)
      return role.emitOpError("roles_c2: two roles named '")
             << role.getSymName() << "'";
    registers += static_cast<int64_t>(role.getThreads()) *
                 static_cast<int64_t>(role.getCopies()) *
                 static_cast<int64_t>(role.getRegs().value_or(0));
  }
  if (names.empty())
    return emitOpError("roles_c1: at least one role");
  // roles_c3
  if (registers > 65536)
    return emitOpError("roles_c3: ")
           << registers << " registers, a block has 65536";
  return success();
}

LogicalResult RoleOp::verify() {
  int64_t threads = getThreads(), copies = getCopies();
  // role_c1
  if (threads < 1 || threads % 32 != 0 || copies < 1)
    return emitOpError("role_c1: threads must be a multiple of 32 and copies "
                       "positive, got ")
           << threads << " and " << copies;
  // role_c2
  if (auto regs = getRegs())
    if (*regs % 8 != 0 || *regs < 24 || *regs > 256)
      return emitOpError("role_c2: regs must be a multiple of 8 in 24..256, "
                         "got ")
             << *regs;
  // role_c3
  if (copies > 1 && !getDivide())
    return emitOpError("role_c3: ") << copies << " copies need divide";
  return success();
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

/// Whether `user` begins using the cursor's slot rather than ending it.
static bool opensSlot(Operation *user) { return isa<AcquireOp, WaitOp>(user); }
static bool closesSlot(Operation *user) {
  return isa<PublishOp, ReleaseOp>(user);
}

/// cursor_c1 for one cursor value.
static LogicalResult verifyLinear(Operation *op, Value cursor) {
  unsigned opened = 0, closed = 0, passed = 0;
  for (Operation *user : cursor.getUsers()) {
    opened += opensSlot(user);
    closed += closesSlot(user);
    passed += !opensSlot(user) && !closesSlot(user);
  }
  bool pair = opened == 1 && closed == 1 && passed == 0;
  bool handed = opened == 0 && closed == 0 && passed <= 1;
  if (pair || handed)
    return success();
  return op->emitOpError("cursor_c1: a cursor is used once, got ")
         << opened << " openings, " << closed << " closings and " << passed
         << " other uses";
}

LogicalResult CursorOp::verify() {
  // cursor_c1
  return verifyLinear(*this, getCursor());
}

/// slot_c2 and, for the cursor that is opened here, cursor_c1.
static LogicalResult verifySlot(Operation *op, Value cursor, Side side) {
  Side have = cast<CursorType>(cursor.getType()).getSide();
  if (have != side)
    return op->emitOpError("slot_c2: needs a ")
           << stringifySide(side) << " cursor, got a " << stringifySide(have)
           << " cursor";
  return verifyLinear(op, cursor);
}

/// slot_c1
static LogicalResult verifyBuffers(Operation *op, RingType ring,
                                   TypeRange buffers) {
  if (TypeRange(ring.getBuffers()) != buffers)
    return op->emitOpError("slot_c1: the ring has buffers (")
           << ring.getBuffers() << "), results are (" << buffers << ")";
  return success();
}

LogicalResult AcquireOp::verify() {
  if (failed(verifyBuffers(*this, getRing().getType(), getResultTypes())))
    return failure();
  return verifySlot(*this, getCursor(), Side::Producer);
}

LogicalResult WaitOp::verify() {
  if (failed(verifyBuffers(*this, getRing().getType(), getResultTypes())))
    return failure();
  return verifySlot(*this, getCursor(), Side::Consumer);
}

LogicalResult PublishOp::verify() {
  if (failed(verifySlot(*this, getCursor(), Side::Producer)))
    return failure();
  return verifyLinear(*this, getNext());
}

LogicalResult ReleaseOp::verify() {
  if (failed(verifySlot(*this, getCursor(), Side::Consumer)))
    return failure();
  return verifyLinear(*this, getNext());
}

//===----------------------------------------------------------------------===//
// Movement
//===----------------------------------------------------------------------===//

std::pair<int64_t, int64_t> CopyOp::getTileShape() {
  return moe::tile::getTileShape(getBuffer().getType());
}

std::pair<int64_t, int64_t> FetchOp::getTileShape() {
  return moe::tile::getTileShape(getType());
}

LogicalResult CopyOp::verify() {
  BufType buffer = getBuffer().getType();
  int64_t row =
      buffer.getCols() * (buffer.getElementType().getIntOrFloatBitWidth() / 8);
  // copy_c1
  if (getHow() && *getHow() == How::Gather && row < 4)
    return emitOpError("copy_c1: gather moves at least 4 bytes, a row has ")
           << row;
  // copy_c2
  if (buffer.getSwizzle() && row % 16 != 0)
    return emitOpError("copy_c2: a swizzled row is a multiple of 16 bytes, "
                       "got ")
           << row;
  return success();
}

LogicalResult DepositOp::verify() {
  // deposit_c1
  BufType buffer = getBuffer().getType();
  int64_t cols = 0;
  for (Type type : getValues().getTypes()) {
    if (moe::tile::getTileShape(type).first != buffer.getRows() ||
        getTileElementType(type) != buffer.getElementType())
      return emitOpError("deposit_c1: ")
             << type << " in " << buffer << " differs in rows or element type";
    cols += moe::tile::getTileShape(type).second;
  }
  if (cols != buffer.getCols())
    return emitOpError("deposit_c1: ")
           << cols << " columns for a buffer of " << buffer.getCols();
  return success();
}

//===----------------------------------------------------------------------===//
// Across the grid
//===----------------------------------------------------------------------===//

// signal_c1 is the type constraint of the operand.

/// partial_c1
static LogicalResult verifyPartial(Operation *op, MemRefType workspace,
                                   FragType fragment) {
  if (workspace.getDimSize(1) != fragment.getRows() ||
      workspace.getDimSize(2) != fragment.getCols() ||
      workspace.getElementType() != fragment.getElementType())
    return op->emitOpError("partial_c1: ")
           << fragment << " in a workspace of " << workspace;
  return success();
}

LogicalResult PartialPutOp::verify() {
  return verifyPartial(*this, cast<MemRefType>(getWorkspace().getType()),
                       getValue().getType());
}

LogicalResult PartialTakeOp::verify() {
  return verifyPartial(*this, cast<MemRefType>(getWorkspace().getType()),
                       getType());
}
