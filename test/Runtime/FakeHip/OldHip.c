/* A HIP library from before ROCm 6.
 *
 * Part of moec, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for licence information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

int hipInit(unsigned flags) { return (int)flags; }
