/* Prints which compressors are linked in, at build time: TypeScript then knows without loading
 * them. */
#include <libdeflate.h>
#include <stdio.h>
#include <zstd.h>

int main(void) {
  printf("{ \"gzip\": \"libdeflate %s\", \"zstd\": \"libzstd %s\" }\n", LIBDEFLATE_VERSION_STRING,
         ZSTD_VERSION_STRING);
  return 0;
}
