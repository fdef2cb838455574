#include "fill.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "whole-io.h"

#define HEAD_BYTES 4096u
#define BLOCK 4096u
/* Shorter runs of zeros are written: each hole splits the file into one more extent. */
#define HOLE_BLOCKS 4u

/* A file part being read. */
struct source {
  const struct part *part;
  uint32_t number;
  int fd;
  struct stat st;
  SHA256_CTX sha;
};

static int write_failed(struct filler *filler) {
  if (errno == ENOMEM)
    return batch_no_memory(&filler->failure);
  return batch_failed(&filler->failure, BATCH_WRITE, filler->filling->output);
}

static int changed(struct filler *filler, const struct part *part) {
  return batch_failed_as(&filler->failure, BATCH_CHANGED, ESTALE, part->path);
}

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

/* Hands a filled chunk on to its hasher, and writes it meanwhile. */
static int pass_on(struct filler *filler, struct chunk *chunk, uint64_t offset) {
  struct filling *filling = filler->filling;
  ring_filled(&filling->ring, chunk);
  int wrote = filling->fd < 0 ? 0 : write_sparse(filling->fd, chunk->data, chunk->length, offset);
  int result = wrote < 0 ? write_failed(filler) : 0;
  ring_done(&filling->ring, chunk);
  return result;
}

static int source_open(struct filler *filler, struct source *source, const struct part *part,
                       uint32_t number) {
  *source = (struct source){.part = part, .number = number};
  source->fd = source_file(&filler->sources, part->root, part->path, &source->st, &filler->failure);
  if (source->fd < 0)
    return -1;
  uint64_t end = part->offset + part->length, size = (uint64_t)source->st.st_size;
  if (part->offset ? size < end : size != end) {
    close(source->fd);
    return changed(filler, part);
  }
  if (filler->filling->with_digests)
    SHA256_Init(&source->sha);
  return 0;
}

/* ELF files and scripts: what they are is told from their first bytes. */
static void keep_head(struct filler *filler, uint32_t number, const uint8_t *bytes, size_t length) {
  if (length < 2 || (memcmp(bytes, "#!", 2) && (length < 4 || memcmp(bytes,
                                                                     "\x7f"
                                                                     "ELF",
                                                                     4))))
    return;
  if (length > HEAD_BYTES)
    length = HEAD_BYTES;
  out_u32(&filler->heads, number);
  out_u32(&filler->heads, (uint32_t)length);
  out_bytes(&filler->heads, bytes, length);
  filler->head_count++;
}

static int source_read(struct filler *filler, struct source *source, uint64_t from, uint8_t *space,
                       size_t length) {
  const struct part *part = source->part;
  ssize_t got = read_fully(source->fd, space, length, part->offset + from);
  if (got < 0)
    return batch_failed(&filler->failure, BATCH_READ, part->path);
  if ((size_t)got < length)
    return changed(filler, part);
  if (filler->filling->with_digests)
    SHA256_Update(&source->sha, space, length);
  if (from == 0 && filler->filling->with_heads)
    keep_head(filler, source->number, space, length);
  return 0;
}

static int source_end(struct filler *filler, struct source *source) {
  /* What one read gives is as good as atomic; longer ones may meet a writer. */
  if (source->part->length > HEAD_BYTES && source_touched(source->fd, &source->st))
    return changed(filler, source->part);
  if (!filler->filling->with_digests)
    return 0;
  out_u32(&filler->digests, source->number);
  uint8_t *space = out_space(&filler->digests, SHA256_BYTES);
  if (!space)
    return batch_no_memory(&filler->failure);
  SHA256_Final(space, &source->sha);
  filler->digest_count++;
  return 0;
}

static int fill_file(struct filler *filler, const struct part *part, uint32_t number,
                     uint8_t *space) {
  struct source source;
  if (source_open(filler, &source, part, number) < 0)
    return -1;
  OWNED_FD fd = source.fd;
  if (part->length && source_read(filler, &source, 0, space, part->length) < 0)
    return -1;
  return source_end(filler, &source);
}

static int fill_part(struct filler *filler, const struct part *part, uint32_t number,
                     uint8_t *space) {
  switch (part->kind) {
  case PART_LITERAL:
    memcpy(space, part->literal, part->length);
    return 0;
  case PART_ZEROS:
    memset(space, 0, part->length);
    return 0;
  case PART_MEMBER:
    if (!tar_member_write(&part->member, space))
      return batch_bad_request(&filler->failure, "length of a header");
    return 0;
  case PART_FILE:
    return fill_file(filler, part, number, space);
  }
  return -1;
}

static struct chunk *take(struct filler *filler, uint64_t number, size_t room) {
  struct chunk *chunk = ring_take(&filler->filling->ring, number, room);
  if (!chunk && errno == ENOMEM)
    batch_no_memory(&filler->failure);
  return chunk;
}

/* Several parts in one chunk. */
static int fill_chunk(struct filler *filler, const struct segment *segment) {
  struct chunk *chunk = take(filler, segment->chunk, segment->length);
  if (!chunk)
    return -1;
  struct batch_in in = segment->in;
  for (uint32_t i = 0; i < segment->parts; i++) {
    struct part part;
    part_read(&part, &in);
    if (fill_part(filler, &part, segment->first + i, chunk->data + chunk->length) < 0)
      return -1;
    chunk->length += part.length;
  }
  return pass_on(filler, chunk, segment->offset);
}

/* The piece of a large part that begins at `at`. Whole chunks of nothing are not read. */
static int fill_piece(struct filler *filler, const struct part *part, struct source *source,
                      uint64_t at, struct chunk *chunk) {
  uint64_t left = part->length - at;
  size_t length = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
  if (part->kind == PART_LITERAL) {
    memcpy(chunk->data, part->literal + at, length);
    chunk->length = length;
    return 0;
  }
  bool hole = part->kind == PART_ZEROS;
  uint64_t from = part->offset + at;
  if (!hole && source_extent(source->fd, &source->st, from, from + length, &hole) < from + length)
    hole = false;
  if (hole) {
    chunk->zeros = length;
    if (part->kind == PART_FILE && filler->filling->with_digests)
      sha256_zeros(&source->sha, length);
    return 0;
  }
  chunk->length = length;
  return source_read(filler, source, at, chunk->data, length);
}

/* One part in several chunks. */
static int fill_chunks(struct filler *filler, const struct segment *segment) {
  struct batch_in in = segment->in;
  struct part part;
  part_read(&part, &in);
  struct source source = {.fd = -1};
  bool is_file = part.kind == PART_FILE;
  if (is_file && source_open(filler, &source, &part, segment->first) < 0)
    return -1;
  OWNED_FD fd = source.fd;
  for (uint64_t i = 0; i < segment->chunks; i++) {
    struct chunk *chunk = take(filler, segment->chunk + i, CHUNK_BYTES);
    uint64_t at = i * CHUNK_BYTES;
    if (!chunk || fill_piece(filler, &part, &source, at, chunk) < 0 ||
        pass_on(filler, chunk, segment->offset + at) < 0)
      return -1;
  }
  return is_file ? source_end(filler, &source) : 0;
}

void fill_segments(struct filler *filler) {
  struct filling *filling = filler->filling;
  for (;;) {
    size_t next = atomic_fetch_add(&filling->next, 1);
    if (next >= filling->segments.count)
      return;
    const struct segment *segment = &filling->segments.list[next];
    int filled = segment->chunks > 1 ? fill_chunks(filler, segment) : fill_chunk(filler, segment);
    if (filled < 0) {
      filler->result = -1;
      ring_stop(&filling->ring);
      return;
    }
  }
}

void filler_free(struct filler *filler) {
  sources_close(&filler->sources);
  out_free(&filler->digests);
  out_free(&filler->heads);
}
