/* SHA-256 of a file that is still being written: whoever writes it says how far it is, and the
 * bytes are read back from the page cache, on another thread than the writer's. */
#include "batch.h"
#include "cleanup.h"
#include "sha256.h"
#include "whole-io.h"

#include <errno.h>
#include <stdlib.h>

#define READ_BYTES ((size_t)1 << 18)

struct tsb_digest {
  SHA256_CTX sha;
  uint8_t buffer[READ_BYTES];
};

struct tsb_digest *tsb_digest_open(void) {
  struct tsb_digest *digest = malloc(sizeof *digest);
  if (digest)
    SHA256_Init(&digest->sha);
  return digest;
}

int tsb_digest_take(struct tsb_digest *digest, int fd, double from, double to) {
  uint64_t end = (uint64_t)to;
  for (uint64_t at = (uint64_t)from; at < end;) {
    size_t wanted = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
    ssize_t got = read_fully(fd, digest->buffer, wanted, at);
    if (got < 0)
      return errno;
    if ((size_t)got < wanted)
      return ESTALE;
    SHA256_Update(&digest->sha, digest->buffer, wanted);
    at += wanted;
  }
  return 0;
}

void tsb_digest_close(struct tsb_digest *digest, uint8_t result[TSB_DIGEST_BYTES]) {
  SHA256_Final(result, &digest->sha);
  free(digest);
}
