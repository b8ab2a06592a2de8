/* A driver from before tensor maps.
 *
 * Part of moec, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for licence information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

int cuInit(unsigned flags) { return (int)flags; }
