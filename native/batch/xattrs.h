/* Extended attributes of directory entries of any type, without following a symlink. */
#ifndef TSB_BATCH_XATTRS_H
#define TSB_BATCH_XATTRS_H

#include "bytes.h"

#define XATTR_BUFFER 65536 /* XATTR_SIZE_MAX and XATTR_LIST_MAX */

struct xattr_reader {
  uint8_t *names, *value; /* XATTR_BUFFER bytes each */
  bool by_proc;           /* the *xattrat system calls (Linux 6.13) are not there */
};

/* -1 and errno. */
int xattr_reader_init(struct xattr_reader *reader);
void xattr_reader_free(struct xattr_reader *reader);

/* Appends the attributes of `name` in `dir` ("" is `dir` itself): u32 name length, u32 value
 * length, name, value each. Returns how many, or -1 and errno. */
int read_xattrs(struct xattr_reader *reader, int dir, const char *name, struct batch_out *out);

#endif
