/*===- kernels.c - A layer of 4 experts, written by hand ----------*- C -*-===*\
|*                                                                            *|
|* Part of moec, under the Apache License v2.0 with LLVM Exceptions.          *|
|* See LICENSE for licence information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

/* In the place of compiled kernels: E = 4, k = 2, H = 8, I = 4, f32. The second
   projection comes in editions with one mistake each. */

#include <math.h>
#include <stdint.h>

enum { K = 2, H = 8, I = 4 };

/* w2 [4, 8, 4] to [4, 4, 8]. */
void tiny_transpose(void *const *argv, int64_t worker, int64_t workers) {
  const float *w2 = argv[0];
  float *packed = argv[1];
  (void)workers;
  if (worker != 0)
    return;
  for (int e = 0; e < 4; ++e)
    for (int h = 0; h < H; ++h)
      for (int i = 0; i < I; ++i)
        packed[(e * I + i) * H + h] = w2[(e * H + h) * I + i];
}

/* inner[t, j, i] = silu(gate) * up. */
void tiny_up(void *const *argv, int64_t worker, int64_t workers) {
  const float *x = argv[0], *w1 = argv[2];
  const int32_t *ids = argv[1];
  float *inner = argv[3];
  int64_t tokens = *(const int64_t *)argv[4];
  for (int64_t slot = worker; slot < tokens * K; slot += workers) {
    if (ids[slot] < 0)
      continue;
    for (int i = 0; i < I; ++i) {
      float gate = 0, up = 0;
      for (int h = 0; h < H; ++h) {
        float value = x[slot / K * H + h];
        gate += value * w1[(ids[slot] * 2 * I + i) * H + h];
        up += value * w1[(ids[slot] * 2 * I + I + i) * H + h];
      }
      inner[slot * I + i] = (float)(gate / (1 + exp(-gate)) * up);
    }
  }
}

static void down(void *const *argv, int64_t worker, int64_t workers,
                 int64_t skipped) {
  const float *inner = argv[0], *weights = argv[2], *packed = argv[3];
  const int32_t *ids = argv[1];
  float *y = argv[4];
  int64_t tokens = *(const int64_t *)argv[6] - skipped;
  for (int64_t t = worker; t < tokens; t += workers)
    for (int h = 0; h < H; ++h) {
      float sum = 0;
      for (int j = 0; j < K; ++j) {
        int64_t slot = t * K + j;
        if (ids[slot] < 0)
          continue;
        float value = 0;
        for (int i = 0; i < I; ++i)
          value += inner[slot * I + i] * packed[(ids[slot] * I + i) * H + h];
        sum += value * weights[slot];
      }
      y[t * H + h] = sum;
    }
}

void tiny_down(void *const *argv, int64_t worker, int64_t workers) {
  down(argv, worker, workers, 0);
}

/* Leaves the last row as it was. */
void tiny_skip(void *const *argv, int64_t worker, int64_t workers) {
  down(argv, worker, workers, 1);
}

/* Right up to rounding, but 0.1 % too large in one value. */
void tiny_off(void *const *argv, int64_t worker, int64_t workers) {
  float *y = argv[4];
  down(argv, worker, workers, 0);
  if (worker == 0)
    y[0] += 0.001f * (y[0] + 1);
}

/* Writes the element behind the last one. */
void tiny_overrun(void *const *argv, int64_t worker, int64_t workers) {
  float *y = argv[4];
  down(argv, worker, workers, 0);
  if (worker == 0)
    y[*(const int64_t *)argv[6] * H] = 0;
}

/* Writes before the workspace. */
void tiny_underrun(void *const *argv, int64_t worker, int64_t workers) {
  down(argv, worker, workers, 0);
  if (worker == 0)
    ((float *)argv[0])[-1] = 0;
}

/* Writes to x. */
void tiny_input(void *const *argv, int64_t worker, int64_t workers) {
  down(argv, worker, workers, 0);
  if (worker == 0)
    ((float *)argv[5])[0] += 1;
}
