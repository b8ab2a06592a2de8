/* Hand-written kernels with the calling convention of moec_kernel. */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* x f32 [T,H], tmp f32 [T,H], T, H: tmp = x + 1, rows dealt to the workers. */
void toy_add_one(void *const *argv, int64_t worker, int64_t workers) {
  const float *x = argv[0];
  float *tmp = argv[1];
  int64_t rows = *(const int64_t *)argv[2], columns = *(const int64_t *)argv[3];
  for (int64_t row = worker; row < rows; row += workers)
    for (int64_t column = 0; column < columns; ++column)
      tmp[row * columns + column] = x[row * columns + column] + 1.0f;
}

/* tmp, bias f32 [H] or null, y f32 [T,H], T, H: y = 2 * tmp with the rows in
 * reverse + bias. A worker reads rows that others wrote in the launch before.
 */
void toy_reverse(void *const *argv, int64_t worker, int64_t workers) {
  const float *tmp = argv[0], *bias = argv[1];
  float *y = argv[2];
  int64_t rows = *(const int64_t *)argv[3], columns = *(const int64_t *)argv[4];
  for (int64_t row = worker; row < rows; row += workers)
    for (int64_t column = 0; column < columns; ++column)
      y[row * columns + column] =
          2.0f * tmp[(rows - 1 - row) * columns + column] +
          (bias ? bias[column] : 0.0f);
}

/* y f32 [T,H], T, H: which variant ran. */
static void fill(void *const *argv, int64_t worker, int64_t workers,
                 float value) {
  float *y = argv[0];
  int64_t count = *(const int64_t *)argv[1] * *(const int64_t *)argv[2];
  for (int64_t i = worker; i < count; i += workers)
    y[i] = value;
}
#define TAG(n)                                                                 \
  void toy_tag_##n(void *const *argv, int64_t worker, int64_t workers) {       \
    fill(argv, worker, workers, n);                                            \
  }
#ifndef TOY_SECOND_EDITION
TAG(1)
#else
void toy_tag_1(void *const *argv, int64_t worker, int64_t workers) {
  fill(argv, worker, workers, 1001.0f);
}
#endif
TAG(2)
TAG(3)
TAG(4)

/* arena (256 bytes for each worker), counters i32 [workers] zeroed, y i32 [3]:
 * every worker fills its own piece, then counts bytes that are not its own. */
void toy_arena(void *const *argv, int64_t worker, int64_t workers) {
  unsigned char *mine = (unsigned char *)argv[0] + 256 * worker;
  int32_t *counters = argv[1], *y = argv[2];
  memset(mine, (int)worker + 1, 256);
  for (int repeat = 0; repeat < 100; ++repeat)
    for (int i = 0; i < 256; ++i)
      counters[worker] += mine[i] != worker + 1;
  __atomic_add_fetch(&y[0], 1, __ATOMIC_RELAXED);
  if (worker == 0)
    y[1] = (int32_t)workers;
  /* 0 unless the runtime placed the arena elsewhere than on 256 bytes. */
  __atomic_add_fetch(&y[2], (int32_t)((uintptr_t)mine % 256), __ATOMIC_RELAXED);
}

/* x f32 [T,H], y f32 [T,H], T, H: y = x / 4; a denormal stays one. */
void toy_quarter(void *const *argv, int64_t worker, int64_t workers) {
  const float *x = argv[0];
  float *y = argv[1];
  int64_t count = *(const int64_t *)argv[2] * *(const int64_t *)argv[3];
  for (int64_t i = worker; i < count; i += workers)
    y[i] = x[i] * 0.25f;
}

/* x f32 [T,H], topk_ids i32 [T,k], topk_weights f32 [T,k], w1 f32 [E,2I,H],
 * w2 f32 [E,H,I], y f32 [T,H], hidden f32 (I for each worker), T, E, k, H, I:
 * a layer with swiglu, gate rows first. */
void toy_moe(void *const *argv, int64_t worker, int64_t workers) {
  const float *x = argv[0], *weights = argv[2], *w1 = argv[3], *w2 = argv[4];
  const int32_t *ids = argv[1];
  float *y = argv[5], *hidden = argv[6];
  int64_t T = *(const int64_t *)argv[7], E = *(const int64_t *)argv[8];
  int64_t k = *(const int64_t *)argv[9], H = *(const int64_t *)argv[10];
  int64_t I = *(const int64_t *)argv[11];
  hidden += I * worker;
  for (int64_t t = worker; t < T; t += workers) {
    memset(y + t * H, 0, sizeof(float) * (size_t)H);
    for (int64_t s = 0; s < k; ++s) {
      int64_t e = ids[t * k + s];
      if (e < 0 || e >= E)
        continue;
      for (int64_t i = 0; i < I; ++i) {
        float gate = 0, up = 0;
        for (int64_t h = 0; h < H; ++h) {
          gate += w1[(e * 2 * I + i) * H + h] * x[t * H + h];
          up += w1[(e * 2 * I + I + i) * H + h] * x[t * H + h];
        }
        hidden[i] = gate / (1.0f + expf(-gate)) * up;
      }
      for (int64_t h = 0; h < H; ++h)
        for (int64_t i = 0; i < I; ++i)
          y[t * H + h] +=
              weights[t * k + s] * w2[(e * H + h) * I + i] * hidden[i];
    }
  }
}

/* x bf16 [T,4], y bf16 [T,4], T: a copy, element by element. */
void toy_copy16(void *const *argv, int64_t worker, int64_t workers) {
  const uint16_t *x = argv[0];
  uint16_t *y = argv[1];
  int64_t count = *(const int64_t *)argv[2] * 4;
  for (int64_t i = worker; i < count; i += workers)
    y[i] = x[i];
}
