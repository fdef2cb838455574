#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "apply.h"
#include "whole-io.h"

#define COPY_BYTES ((size_t)1 << 18)

int content_open(struct apply_content *content, struct batch_in *in,
                 struct batch_failure *failure) {
  content->fd = -1;
  content->buffer = malloc(COPY_BYTES);
  if (sources_open(&content->sources, in, failure) < 0)
    return -1;
  return content->buffer ? 0 : batch_no_memory(failure);
}

void content_free(struct apply_content *content) {
  sources_free(&content->sources);
  free(content->buffer);
  if (content->fd >= 0)
    close(content->fd);
}

static int open_source(struct apply_content *content, const struct apply_op *op,
                       struct batch_failure *failure) {
  if (content->fd >= 0 && content->root == op->root && strcmp(content->path, op->source) == 0)
    return 0;
  if (content->fd >= 0)
    close(content->fd);
  content->fd = source_file(&content->sources, op->root, op->source, &content->st, failure);
  content->root = op->root;
  content->path = op->source;
  return content->fd < 0 ? -1 : 0;
}

static int copy_buffered(struct apply_content *content, const struct apply_op *op, int fd,
                         uint64_t at, uint64_t end, struct batch_failure *failure) {
  while (at < end) {
    size_t wanted = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
    ssize_t got = read_fully(content->fd, content->buffer, wanted, at);
    if (got < 0)
      return batch_failed(failure, BATCH_READ, op->source);
    if ((size_t)got < wanted)
      return batch_failed_as(failure, BATCH_CHANGED, ESTALE, op->source);
    if (write_fully(fd, content->buffer, wanted, at - op->offset) < 0)
      return batch_failed(failure, BATCH_WRITE, op->path);
    at += wanted;
  }
  return 0;
}

/* Inside the kernel where it can: that shares blocks on filesystems that do so. */
static int copy_data(struct apply_content *content, const struct apply_op *op, int fd, uint64_t at,
                     uint64_t end, struct batch_failure *failure) {
  while (end - at > COPY_BYTES) {
    off_t from = (off_t)at, to = (off_t)(at - op->offset);
    ssize_t copied = copy_file_range(content->fd, &from, fd, &to, end - at, 0);
    if (copied < 0 && errno == EINTR)
      continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT))
      return batch_failed(failure, BATCH_WRITE, op->path);
    if (copied <= 0)
      break; /* not between these two: reading says what is wrong, if anything is */
    at += (uint64_t)copied;
  }
  return copy_buffered(content, op, fd, at, end, failure);
}

/* `size` bytes of the source from `at` on, each to its place: `at - op->offset` in the file. */
static int copy_range(struct apply_content *content, const struct apply_op *op, int fd, uint64_t at,
                      uint64_t size, struct batch_failure *failure) {
  uint64_t end = at + size;
  if ((uint64_t)content->st.st_size < end)
    return batch_failed_as(failure, BATCH_CHANGED, ESTALE, op->source);
  while (at < end) {
    bool hole;
    uint64_t next = source_extent(content->fd, &content->st, at, end, &hole);
    if (!hole && copy_data(content, op, fd, at, next, failure) < 0)
      return -1;
    at = next;
  }
  return 0;
}

static int copy_pieces(struct apply_content *content, const struct apply_op *op, int fd,
                       struct batch_failure *failure) {
  struct batch_in pieces = op->pieces;
  uint64_t at = op->offset;
  for (uint32_t i = 0; i < op->piece_count; i++) {
    uint64_t offset = in_size(&pieces), size = in_size(&pieces);
    struct apply_op piece = *op;
    piece.offset = at - offset; /* may wrap, and wraps back when places are made of it */
    if (copy_range(content, &piece, fd, at, size, failure) < 0)
      return -1;
    at += size;
  }
  return 0;
}

int write_content(struct apply_content *content, const struct apply_op *op, int fd,
                  struct batch_failure *failure) {
  if (op->size == 0)
    return 0;
  if (op->bytes) {
    return write_fully(fd, op->bytes, op->size, 0) < 0
               ? batch_failed(failure, BATCH_WRITE, op->path)
               : 0;
  }
  if (open_source(content, op, failure) < 0)
    return -1;
  int copied = op->piece_count ? copy_pieces(content, op, fd, failure)
                               : copy_range(content, op, fd, op->offset, op->size, failure);
  if (copied < 0)
    return -1;
  /* A hole at the end is not written. */
  return ftruncate(fd, (off_t)op->size) < 0 ? batch_failed(failure, BATCH_WRITE, op->path) : 0;
}
