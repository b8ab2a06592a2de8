/* Opens an artifact with an installed run time. */

#include <moec-c/Runtime.h>

#include <stdio.h>

int main(int argc, char **argv) {
  moec_layer *layer = NULL;
  moec_open_options options = {0};
  if (argc != 2)
    return 2;
  options.struct_size = sizeof(options);
  options.flags = MOEC_OPEN_MANIFEST_ONLY;
  if (moec_open(argv[1], &options, &layer) != MOEC_OK) {
    fprintf(stderr, "%s\n", moec_last_error());
    return 1;
  }
  printf("moec %s opened %s with %d variants\n", moec_version(),
         moec_layer_name(layer), moec_variant_count(layer));
  moec_close(layer);
  return 0;
}
