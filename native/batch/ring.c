#include "ring.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

static void *hash_all(void *data);

/* Signals belong to the process's other threads. */
static bool start_thread(struct ring *ring) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  bool started = pthread_create(&ring->hasher, NULL, hash_all, ring) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

void ring_start(struct ring *ring, uint64_t count) {
  *ring = (struct ring){.count = count};
  for (size_t i = 0; i < RING_CHUNKS; i++)
    ring->chunks[i].number = i;
  pthread_mutex_init(&ring->lock, NULL);
  pthread_cond_init(&ring->changed, NULL);
  SHA256_Init(&ring->sha);
  ring->threaded = count > 1 && start_thread(ring);
}

static void hash_chunk(struct ring *ring, const struct chunk *chunk) {
  SHA256_Update(&ring->sha, chunk->data, chunk->length);
  sha256_zeros(&ring->sha, chunk->zeros);
}

/* The last user makes place for a later chunk. Called with the lock. */
static void leave(struct ring *ring, struct chunk *chunk) {
  if (--chunk->users)
    return;
  chunk->filled = false;
  chunk->number += RING_CHUNKS;
  pthread_cond_broadcast(&ring->changed);
}

static void *hash_all(void *data) {
  struct ring *ring = data;
  pthread_mutex_lock(&ring->lock);
  for (uint64_t next = 0; next < ring->count; next++) {
    struct chunk *chunk = &ring->chunks[next % RING_CHUNKS];
    while (!(chunk->filled && chunk->number == next) && !ring->stopped)
      pthread_cond_wait(&ring->changed, &ring->lock);
    if (ring->stopped)
      break;
    pthread_mutex_unlock(&ring->lock);
    hash_chunk(ring, chunk);
    pthread_mutex_lock(&ring->lock);
    leave(ring, chunk);
  }
  pthread_mutex_unlock(&ring->lock);
  return NULL;
}

static bool has_room(struct chunk *chunk, size_t room) {
  if (chunk->room >= room)
    return true;
  free(chunk->data);
  chunk->data = malloc(room);
  chunk->room = chunk->data ? room : 0;
  return chunk->data != NULL;
}

struct chunk *ring_take(struct ring *ring, uint64_t number, size_t room) {
  struct chunk *chunk = &ring->chunks[number % RING_CHUNKS];
  pthread_mutex_lock(&ring->lock);
  while (chunk->number != number && !ring->stopped)
    pthread_cond_wait(&ring->changed, &ring->lock);
  bool stopped = ring->stopped;
  pthread_mutex_unlock(&ring->lock);
  if (stopped || !has_room(chunk, room)) {
    errno = stopped ? ECANCELED : ENOMEM;
    return NULL;
  }
  chunk->length = 0;
  chunk->zeros = 0;
  return chunk;
}

void ring_filled(struct ring *ring, struct chunk *chunk) {
  if (!ring->threaded)
    hash_chunk(ring, chunk);
  pthread_mutex_lock(&ring->lock);
  chunk->filled = true;
  chunk->users = ring->threaded ? 2 : 1;
  pthread_cond_broadcast(&ring->changed);
  pthread_mutex_unlock(&ring->lock);
}

void ring_done(struct ring *ring, struct chunk *chunk) {
  pthread_mutex_lock(&ring->lock);
  leave(ring, chunk);
  pthread_mutex_unlock(&ring->lock);
}

void ring_stop(struct ring *ring) {
  pthread_mutex_lock(&ring->lock);
  ring->stopped = true;
  pthread_cond_broadcast(&ring->changed);
  pthread_mutex_unlock(&ring->lock);
}

static void join(struct ring *ring) {
  if (ring->threaded)
    pthread_join(ring->hasher, NULL);
  ring->threaded = false;
}

void ring_finish(struct ring *ring, uint8_t digest[SHA256_BYTES]) {
  join(ring);
  SHA256_Final(digest, &ring->sha);
}

void ring_free(struct ring *ring) {
  ring_stop(ring);
  join(ring);
  for (size_t i = 0; i < RING_CHUNKS; i++)
    free(ring->chunks[i].data);
  pthread_cond_destroy(&ring->changed);
  pthread_mutex_destroy(&ring->lock);
}
