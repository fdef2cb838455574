/* The parts of apply: what a request asks for, and making one file of it. */
#ifndef TSB_BATCH_APPLY_H
#define TSB_BATCH_APPLY_H

#include "sources.h"

enum apply_kind {
  APPLY_DIR = 1,
  APPLY_FIFO = 2,
  APPLY_FILE = 3,
  APPLY_SYMLINK = 4,
  APPLY_LINK = 5,
  APPLY_CHAR = 6,
  APPLY_BLOCK = 7,
  APPLY_WHITEOUT = 8,
};

struct apply_meta {
  uint32_t mode, uid, gid, xattr_count;
  struct timespec mtime;
  struct batch_in xattrs; /* checked: string name, u32 length, value each */
};

struct apply_op {
  uint32_t kind;
  const char *path, *target;
  struct apply_meta meta;
  uint32_t major, minor;
  uint64_t size, offset; /* content: `bytes`, or from `offset` of `source` beneath `root` */
  const uint8_t *bytes;
  uint32_t root;
  const char *source;
  uint32_t piece_count;   /* of a sparse file: what of it the source holds, one after the other */
  struct batch_in pieces; /* checked: offset, length each; 0 pieces: all of it */
};

/* Reads one operation; false if it makes no sense. */
bool read_apply_op(struct batch_in *in, struct apply_op *op);

/* Content of files: the source stays open while operations refer to the same one. */
struct apply_content {
  struct sources sources;
  int fd; /* of `path` beneath `root`, or -1 */
  uint32_t root;
  const char *path;
  struct stat st;
  uint8_t *buffer; /* COPY_BYTES */
};

int content_open(struct apply_content *content, struct batch_in *in, struct batch_failure *failure);
void content_free(struct apply_content *content);
/* Writes the content of `op` into the new, empty file `fd`. -1 with `failure` filled. */
int write_content(struct apply_content *content, const struct apply_op *op, int fd,
                  struct batch_failure *failure);

/* Owner first (chown clears setuid and capabilities), then attributes (user.* need write
 * permission), then mode, then times. */
int set_file_meta(int fd, const struct apply_meta *meta);
/* The same for an entry that can't be opened; makes `dir` the working directory. */
int set_entry_meta(int dir, const char *name, const struct apply_meta *meta, bool symlink);

#endif
