/* SHA-256 beside the reading and writing: the caller fills chunks, a second thread hashes them in
 * order. The thread starts with the second chunk, so that small batches never pay for one. */
#ifndef TSB_BATCH_HASH_LANE_H
#define TSB_BATCH_HASH_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "sha256.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define CHUNK_ROOM                                                                                 \
  (CHUNK_BYTES + 4096) /* a file that starts in a chunk has its first 4096 there                   \
                        */
#define LANE_CHUNKS 4

struct chunk {
  uint8_t *data; /* CHUNK_ROOM bytes */
  size_t length;
  uint64_t zeros; /* zero bytes that follow the data */
};

struct hash_lane {
  struct chunk chunks[LANE_CHUNKS];
  SHA256_CTX sha;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  size_t produced, consumed;     /* chunks so far; guarded by lock */
  bool started, finished, alone; /* alone: no thread could be had, the caller hashes */
};

void lane_init(struct hash_lane *lane);
/* Stops the thread if it still runs, frees the chunks. */
void lane_free(struct hash_lane *lane);
/* The chunk to fill next, empty, after waiting for room; NULL if there is no memory. */
struct chunk *lane_chunk(struct hash_lane *lane);
/* Hands over the chunk that lane_chunk gave. Its bytes may be read until lane_chunk is called
 * again. */
void lane_submit(struct hash_lane *lane);
/* Waits for everything submitted. */
void lane_finish(struct hash_lane *lane, uint8_t digest[SHA256_BYTES]);

#endif
