/* Where an assembled tar goes: its digest, and a file in which runs of zeros are holes. */
#ifndef TSB_BATCH_SINK_H
#define TSB_BATCH_SINK_H

#include "hash-lane.h"

struct sink {
  struct hash_lane lane;
  struct chunk *chunk; /* being filled; NULL before the first byte */
  int fd;              /* -1: digest only */
  uint64_t written;    /* where `chunk` belongs in the file */
};

/* All return -1 and errno. */
void sink_init(struct sink *sink, int fd);
void sink_free(struct sink *sink);
/* Room for the next bytes: 4096 at least, at most up to the end of a chunk. */
uint8_t *sink_space(struct sink *sink, size_t *room);
/* `length` bytes were put where sink_space said. */
void sink_filled(struct sink *sink, size_t length);
int sink_bytes(struct sink *sink, const uint8_t *bytes, size_t length);
int sink_zeros(struct sink *sink, uint64_t length);
int sink_finish(struct sink *sink, uint8_t digest[SHA256_BYTES], uint64_t *size);

#endif
