/* Hand-written kernels with the calling convention of moec_kernel. */

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
