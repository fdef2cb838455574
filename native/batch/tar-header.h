/* The blocks before a tar member's content: the ustar header, after an extended one where it can't
 * say everything (POSIX.1-2017 pax). What to say was decided before; see
 * store/format/tar-encode.ts. */
#ifndef TSB_BATCH_TAR_HEADER_H
#define TSB_BATCH_TAR_HEADER_H

#include "bytes.h"

#define TAR_BLOCK 512u

struct tar_member {
  uint32_t header_bytes; /* what the blocks must come to */
  uint32_t type;         /* the typeflag character */
  uint32_t mode, uid, gid, dev_major, dev_minor, mtime_nsec;
  uint64_t size;
  int64_t mtime;
  /* All but their lengths point into the request. `prefix` bytes of the name go to the prefix
   * field; the slash after them is dropped. */
  uint32_t prefix, name_length, link_length, before_length, after_length;
  const uint8_t *name, *link;
  const uint8_t *before, *after; /* extended records to go before and after that of the time */
};

void tar_member_read(struct tar_member *member, struct batch_in *in);
/* Writes `header_bytes` bytes; false, and nothing written, if the blocks don't come to that. */
bool tar_member_write(const struct tar_member *member, uint8_t *space);

#endif
