/* A program of plain C99 against the shared library:
 * client DIRECTORY TOKENS: runs the toy layer and prints the sum of y. */

#include "moec-c/Runtime.h"

#include <stdio.h>
#include <stdlib.h>

static int report(const char *what) {
  fprintf(stderr, "%s: %s\n", what, moec_last_error());
  return 1;
}

int main(int argc, char **argv) {
  moec_layer *layer = NULL;
  moec_pool *pool = NULL;
  moec_run_stats stats;
  moec_tensor tensors[3];
  int64_t shape[2], tokens, columns, i;
  uint64_t bytes;
  void *workspace = NULL;
  float *x, *y, sum = 0;

  if (argc != 3)
    return 2;
  tokens = atol(argv[2]);
  if (moec_abi_version() != MOEC_RUNTIME_ABI)
    return 2;
  if (moec_open(argv[1], NULL, &layer) != MOEC_OK)
    return report("moec_open");
  if (moec_pool_create(2, 0, &pool) != MOEC_OK)
    return report("moec_pool_create");
  if (moec_layer_dim(layer, "H", &columns) != MOEC_OK)
    return report("moec_layer_dim");
  if (moec_workspace_size(layer, pool, tokens, &bytes) != MOEC_OK)
    return report("moec_workspace_size");
  if (posix_memalign(&workspace, MOEC_WORKSPACE_ALIGN, bytes + 1))
    return 2;
  x = malloc(sizeof(float) * (size_t)(tokens * columns + 1));
  y = malloc(sizeof(float) * (size_t)(tokens * columns + 1));
  if (!x || !y)
    return 2;
  for (i = 0; i < tokens * columns; ++i)
    x[i] = (float)(i % 7);
  shape[0] = tokens;
  shape[1] = columns;
  tensors[0].data = x;
  tensors[0].dtype = MOEC_F32;
  tensors[0].rank = 2;
  tensors[0].dims = shape;
  tensors[0].strides = NULL;
  tensors[1] = tensors[0];
  tensors[1].data = NULL; /* bias: optional */
  tensors[2] = tensors[0];
  tensors[2].data = y;
  stats.struct_size = sizeof(stats);
  if (moec_run(layer, pool, tensors, 3, tokens, workspace, bytes, &stats) !=
      MOEC_OK)
    return report("moec_run");
  for (i = 0; i < tokens * columns; ++i)
    sum += y[i];
  printf("layer %s, %d launches, sum %g\n", moec_layer_name(layer),
         stats.launches, sum);
  free(workspace);
  free(x);
  free(y);
  moec_pool_destroy(pool);
  moec_close(layer);
  return 0;
}
