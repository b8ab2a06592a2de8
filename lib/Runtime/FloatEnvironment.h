//===- FloatEnvironment.h - Default rounding in a scope ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_FLOATENVIRONMENT_H
#define MOEC_LIB_RUNTIME_FLOATENVIRONMENT_H

#include <cfenv>

namespace moec {

/// Default floating-point environment (round to nearest, denormals kept, no
/// traps) for its life time, so that every worker computes the same, whatever
/// mode the caller's thread is in.
class FloatEnvironment {
public:
  FloatEnvironment() {
    std::fegetenv(&saved);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&saved); }
  FloatEnvironment(const FloatEnvironment &) = delete;
  FloatEnvironment &operator=(const FloatEnvironment &) = delete;

private:
  std::fenv_t saved;
};

} // namespace moec

#endif // MOEC_LIB_RUNTIME_FLOATENVIRONMENT_H
