/* Files that a request refers to as (root, path): every root is opened once, every path is resolved
 * beneath its root, and only regular files are read. */
#ifndef TSB_BATCH_SOURCES_H
#define TSB_BATCH_SOURCES_H

#include <sys/stat.h>
#include <sys/types.h>

#include "failure.h"

struct sources {
  int *roots;
  uint32_t count;
  int dir; /* the directory of the last file, -1 if none: its neighbours are opened from it */
  uint32_t dir_root;
  const char *dir_path; /* points into the request */
  size_t dir_length;
};

void sources_free(struct sources *sources);
/* Reads `u32 count, string root …` and opens the roots. */
int sources_open(struct sources *sources, struct batch_in *in, struct batch_failure *failure);
/* The same roots for another thread. They belong to `from`; sources_close gives back the rest. */
void sources_share(struct sources *sources, const struct sources *from);
void sources_close(struct sources *sources);
/* A descriptor of a regular file, or -1 with `failure` filled. `path` must outlive `sources`. */
int source_file(struct sources *sources, uint32_t root, const char *path, struct stat *st,
                struct batch_failure *failure);

/* The file was written to between two looks at it. */
bool source_touched(int fd, const struct stat *before);

/* Where the piece of `fd` that begins at `offset` ends, at the latest at `end`; *hole tells whether
 * it is one. Small holes count as data. */
uint64_t source_extent(int fd, const struct stat *st, uint64_t offset, uint64_t end, bool *hole);

#endif
