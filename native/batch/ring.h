/* Chunks of an output on their way to its digest: readers fill them in any order, a thread of its
 * own hashes them in theirs. A short output is hashed by its reader, without a thread. */
#ifndef TSB_BATCH_RING_H
#define TSB_BATCH_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "sha256.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define RING_CHUNKS 6

struct chunk {
  uint8_t *data;
  size_t room, length;
  uint64_t zeros;  /* zero bytes that follow the data */
  uint64_t number; /* of the chunk that this place is for */
  bool filled;
  int users; /* who still reads it: the hasher, the writer */
};

struct ring {
  struct chunk chunks[RING_CHUNKS];
  SHA256_CTX sha;
  uint64_t count; /* of chunks in all */
  pthread_t hasher;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool threaded, stopped;
};

/* `count` chunks will come. Readers may be several if `threaded` is set afterwards. */
void ring_start(struct ring *ring, uint64_t count);
/* An empty chunk for `room` bytes, once its place is free; NULL and errno (ECANCELED: the ring was
 * stopped). Whoever takes chunks takes them in ascending order, and none is left out. */
struct chunk *ring_take(struct ring *ring, uint64_t number, size_t room);
/* The chunk is filled and may be hashed. It stays readable until ring_done. */
void ring_filled(struct ring *ring, struct chunk *chunk);
void ring_done(struct ring *ring, struct chunk *chunk);
/* Nobody gets or waits for chunks any more. */
void ring_stop(struct ring *ring);
/* Waits until everything is hashed. */
void ring_finish(struct ring *ring, uint8_t digest[SHA256_BYTES]);
void ring_free(struct ring *ring);

#endif
