/* Segments of the tar → chunks of it, in the file and in the ring. Several fillers may work on one
 * tar. */
#ifndef TSB_BATCH_FILL_H
#define TSB_BATCH_FILL_H

#include <stdatomic.h>

#include "parts.h"
#include "ring.h"
#include "sources.h"

/* What all fillers of a tar share. */
struct filling {
  struct segments segments;
  struct ring ring;
  atomic_size_t next; /* segment that nobody has begun */
  const char *output;
  int fd; /* -1: nothing is written */
  bool with_heads, with_digests;
};

struct filler {
  struct filling *filling;
  struct sources sources;
  struct batch_out digests, heads; /* as in the reply */
  uint32_t digest_count, head_count;
  struct batch_failure failure;
  int result;
};

/* Fills segments until none is left; `result` is 0 then. On -1 the other fillers are stopped too,
 * and those that were have no `failure`. */
void fill_segments(struct filler *filler);
void filler_free(struct filler *filler);

#endif
