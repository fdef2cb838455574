/* hash: SHA-256 of whole files.
 *
 *   request  flags (0), roots (u32 count, strings), u32 files, then u32 root, string path each
 *   reply    u32 files, u32 0, 32 bytes each */
#include "cleanup.h"
#include "failure.h"
#include "sha256.h"
#include "sources.h"
#include "whole-io.h"

#include <errno.h>

#define READ_BYTES ((size_t)1 << 20)

static int hash_file(int fd, const struct stat *st, const char *path, uint8_t *buffer,
                     uint8_t digest[SHA256_BYTES], struct batch_failure *failure);

int batch_hash(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  CLEANUP(sources_free) struct sources sources = {.dir = -1};
  in_u32(in);
  if (sources_open(&sources, in, failure) < 0)
    return -1;
  uint32_t count = in_u32(in);
  if (in->bad)
    return batch_bad_request(failure, "hash");
  OWNED uint8_t *buffer = malloc(READ_BYTES);
  if (!buffer)
    return batch_no_memory(failure);
  out_u32(out, count);
  out_u32(out, 0);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t root = in_u32(in);
    const char *path = in_string(in, NULL);
    if (in->bad)
      return batch_bad_request(failure, "hash");
    struct stat st;
    OWNED_FD fd = source_file(&sources, root, path, &st, failure);
    if (fd < 0)
      return -1;
    uint8_t digest[SHA256_BYTES];
    if (hash_file(fd, &st, path, buffer, digest, failure) < 0)
      return -1;
    out_bytes(out, digest, sizeof digest);
  }
  return 0;
}

static int hash_file(int fd, const struct stat *st, const char *path, uint8_t *buffer,
                     uint8_t digest[SHA256_BYTES], struct batch_failure *failure) {
  SHA256_CTX sha;
  SHA256_Init(&sha);
  uint64_t size = (uint64_t)st->st_size;
  for (uint64_t at = 0; at < size;) {
    bool hole;
    uint64_t end = source_extent(fd, st, at, size, &hole);
    if (hole) {
      sha256_zeros(&sha, end - at);
      at = end;
      continue;
    }
    size_t wanted = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
    ssize_t got = read_fully(fd, buffer, wanted, at);
    if (got < 0)
      return batch_failed(failure, BATCH_READ, path);
    if ((size_t)got < wanted)
      return batch_failed_as(failure, BATCH_CHANGED, ESTALE, path);
    SHA256_Update(&sha, buffer, wanted);
    at += wanted;
  }
  if (source_touched(fd, st))
    return batch_failed_as(failure, BATCH_CHANGED, ESTALE, path);
  SHA256_Final(digest, &sha);
  return 0;
}
