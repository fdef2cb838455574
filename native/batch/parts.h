/* The parts of an assembled tar, as the request lists them, and the pieces of work they make. */
#ifndef TSB_BATCH_PARTS_H
#define TSB_BATCH_PARTS_H

#include "failure.h"
#include "tar-header.h"

enum part_kind { PART_LITERAL, PART_ZEROS, PART_MEMBER, PART_FILE };

struct part {
  enum part_kind kind;
  uint64_t length; /* bytes in the tar */
  const uint8_t *literal;
  struct tar_member member;
  uint32_t root;
  const char *path;
  uint64_t offset; /* in the file */
};

void part_read(struct part *part, struct batch_in *in);

/* Neighbouring parts that fill one chunk, or one part that fills several. */
struct segment {
  struct batch_in in; /* where its parts stand */
  uint32_t first, parts;
  uint64_t offset, length; /* in the tar */
  uint64_t chunk, chunks;
};

struct segments {
  struct segment *list;
  size_t count, room;
  uint64_t length, chunks;
};

/* Reads all parts once. Returns -1 with `failure` filled. */
int segments_plan(struct segments *segments, struct batch_in in, uint32_t parts,
                  struct batch_failure *failure);

#endif
