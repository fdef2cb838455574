#include "sink.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "whole-io.h"

#define BLOCK 4096u
/* Shorter runs of zeros are written: each hole splits the file into one more extent. */
#define HOLE_BLOCKS 4u

void sink_init(struct sink *sink, int fd) {
  lane_init(&sink->lane);
  sink->chunk = NULL;
  sink->fd = fd;
  sink->written = 0;
}

void sink_free(struct sink *sink) { lane_free(&sink->lane); }

static bool is_zero_block(const uint8_t *block) {
  uint64_t first;
  memcpy(&first, block, sizeof first);
  return first == 0 && memcmp(block, block + sizeof first, BLOCK - sizeof first) == 0;
}

/* Writes all but the runs of zero blocks; blocks are aligned in the file, not in memory. */
static int write_sparse(int fd, const uint8_t *data, size_t length, uint64_t offset) {
  size_t from = 0, at = -offset & (BLOCK - 1);
  while (at + BLOCK <= length) {
    size_t run = at;
    while (run + BLOCK <= length && is_zero_block(data + run))
      run += BLOCK;
    if (run - at >= HOLE_BLOCKS * BLOCK) {
      if (write_fully(fd, data + from, at - from, offset + from) < 0)
        return -1;
      from = run;
    }
    at = run > at ? run : at + BLOCK;
  }
  return write_fully(fd, data + from, length - from, offset + from);
}

static int flush(struct sink *sink) {
  struct chunk *chunk = sink->chunk;
  if (!chunk)
    return 0;
  lane_submit(&sink->lane);
  if (sink->fd >= 0 && write_sparse(sink->fd, chunk->data, chunk->length, sink->written) < 0)
    return -1;
  sink->written += chunk->length + chunk->zeros;
  sink->chunk = NULL;
  return 0;
}

uint8_t *sink_space(struct sink *sink, size_t *room) {
  struct chunk *chunk = sink->chunk;
  /* Chunks end where the file is aligned, so that pages are written whole. */
  size_t limit = CHUNK_BYTES - (sink->written & (CHUNK_BYTES - 1));
  if (chunk && (chunk->zeros || chunk->length >= limit)) {
    if (flush(sink) < 0)
      return NULL;
    limit = CHUNK_BYTES - (sink->written & (CHUNK_BYTES - 1));
  }
  if (!sink->chunk && !(sink->chunk = lane_chunk(&sink->lane))) {
    errno = ENOMEM;
    return NULL;
  }
  chunk = sink->chunk;
  *room = limit - chunk->length > BLOCK ? limit - chunk->length : BLOCK;
  return chunk->data + chunk->length;
}

void sink_filled(struct sink *sink, size_t length) { sink->chunk->length += length; }

int sink_bytes(struct sink *sink, const uint8_t *bytes, size_t length) {
  while (length) {
    size_t room;
    uint8_t *space = sink_space(sink, &room);
    if (!space)
      return -1;
    if (room > length)
      room = length;
    memcpy(space, bytes, room);
    sink_filled(sink, room);
    bytes += room;
    length -= room;
  }
  return 0;
}

int sink_zeros(struct sink *sink, uint64_t length) {
  size_t room;
  if (!sink_space(sink, &room))
    return -1;
  sink->chunk->zeros = length;
  return 0;
}

int sink_finish(struct sink *sink, uint8_t digest[SHA256_BYTES], uint64_t *size) {
  if (flush(sink) < 0)
    return -1;
  if (sink->fd >= 0 && ftruncate(sink->fd, (off_t)sink->written) < 0)
    return -1;
  lane_finish(&sink->lane, digest);
  *size = sink->written;
  return 0;
}
