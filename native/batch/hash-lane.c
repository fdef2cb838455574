#include "hash-lane.h"

#include <signal.h>
#include <stdlib.h>

void lane_init(struct hash_lane *lane) {
  *lane = (struct hash_lane){0};
  pthread_mutex_init(&lane->lock, NULL);
  pthread_cond_init(&lane->changed, NULL);
  SHA256_Init(&lane->sha);
}

static void stop_thread(struct hash_lane *lane) {
  if (!lane->started)
    return;
  pthread_mutex_lock(&lane->lock);
  lane->finished = true;
  pthread_cond_signal(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
  pthread_join(lane->thread, NULL);
  lane->started = false;
}

void lane_free(struct hash_lane *lane) {
  stop_thread(lane);
  for (size_t i = 0; i < LANE_CHUNKS; i++)
    free(lane->chunks[i].data);
  pthread_cond_destroy(&lane->changed);
  pthread_mutex_destroy(&lane->lock);
}

static void hash_next(struct hash_lane *lane) {
  const struct chunk *chunk = &lane->chunks[lane->consumed % LANE_CHUNKS];
  SHA256_Update(&lane->sha, chunk->data, chunk->length);
  sha256_zeros(&lane->sha, chunk->zeros);
}

static void *lane_thread(void *data) {
  struct hash_lane *lane = data;
  pthread_mutex_lock(&lane->lock);
  for (;;) {
    while (lane->consumed == lane->produced && !lane->finished)
      pthread_cond_wait(&lane->changed, &lane->lock);
    if (lane->consumed == lane->produced)
      break;
    pthread_mutex_unlock(&lane->lock);
    hash_next(lane);
    pthread_mutex_lock(&lane->lock);
    lane->consumed++;
    pthread_cond_signal(&lane->changed);
  }
  pthread_mutex_unlock(&lane->lock);
  return NULL;
}

/* Signals belong to the process's other threads. */
static void start_thread(struct hash_lane *lane) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  lane->started = pthread_create(&lane->thread, NULL, lane_thread, lane) == 0;
  lane->alone = !lane->started;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct chunk *lane_chunk(struct hash_lane *lane) {
  if (lane->produced == 1 && !lane->started && !lane->alone)
    start_thread(lane);
  if (lane->alone && lane->consumed < lane->produced) {
    hash_next(lane);
    lane->consumed++;
  }
  if (lane->started) {
    pthread_mutex_lock(&lane->lock);
    while (lane->produced - lane->consumed == LANE_CHUNKS)
      pthread_cond_wait(&lane->changed, &lane->lock);
    pthread_mutex_unlock(&lane->lock);
  }
  struct chunk *chunk = &lane->chunks[lane->produced % LANE_CHUNKS];
  if (!chunk->data && !(chunk->data = malloc(CHUNK_ROOM)))
    return NULL;
  chunk->length = 0;
  chunk->zeros = 0;
  return chunk;
}

void lane_submit(struct hash_lane *lane) {
  if (!lane->started) {
    lane->produced++;
    return;
  }
  pthread_mutex_lock(&lane->lock);
  lane->produced++;
  pthread_cond_signal(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
}

void lane_finish(struct hash_lane *lane, uint8_t digest[SHA256_BYTES]) {
  stop_thread(lane);
  for (; lane->consumed < lane->produced; lane->consumed++)
    hash_next(lane);
  SHA256_Final(digest, &lane->sha);
}
