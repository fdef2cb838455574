#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fcntl.h>

#include "apply.h"

#define LITERAL 0xffffffffu

static void read_meta(struct batch_in *in, struct apply_meta *meta) {
  meta->mode = in_u32(in);
  meta->uid = in_u32(in);
  meta->gid = in_u32(in);
  meta->mtime.tv_nsec = in_u32(in);
  meta->mtime.tv_sec = in_signed(in);
  meta->xattr_count = in_u32(in);
  meta->xattrs = *in;
  for (uint32_t i = 0; i < meta->xattr_count && !in->bad; i++) {
    in_string(in, NULL);
    in_bytes(in, in_u32(in));
  }
  if (meta->mode > 07777 || meta->mtime.tv_nsec > 999999999)
    in->bad = true;
}

static void read_content(struct batch_in *in, struct apply_op *op) {
  op->size = in_size(in);
  op->root = in_u32(in);
  if (op->root == LITERAL) {
    op->bytes = in_bytes(in, op->size);
    return;
  }
  op->offset = in_size(in);
  op->source = in_string(in, NULL);
  op->piece_count = in_u32(in);
  op->pieces = *in;
  uint64_t end = 0;
  for (uint32_t i = 0; i < op->piece_count && !in->bad; i++) {
    uint64_t offset = in_size(in), length = in_size(in);
    if (offset < end || offset > op->size || length > op->size - offset)
      in->bad = true;
    end = offset + length;
  }
}

bool read_apply_op(struct batch_in *in, struct apply_op *op) {
  *op = (struct apply_op){.kind = in_u32(in)};
  op->path = in_string(in, NULL);
  bool link = op->kind == APPLY_LINK, whiteout = op->kind == APPLY_WHITEOUT;
  if (!link && !whiteout)
    read_meta(in, &op->meta);
  if (op->kind == APPLY_FILE)
    read_content(in, op);
  if (link || op->kind == APPLY_SYMLINK)
    op->target = in_string(in, NULL);
  if (op->kind == APPLY_CHAR || op->kind == APPLY_BLOCK) {
    op->major = in_u32(in);
    op->minor = in_u32(in);
  }
  return !in->bad && op->kind >= APPLY_DIR && op->kind <= APPLY_WHITEOUT;
}

/* One attribute of the list in `xattrs`. */
static const char *next_xattr(struct batch_in *xattrs, const uint8_t **value, uint32_t *length) {
  const char *name = in_string(xattrs, NULL);
  *length = in_u32(xattrs);
  *value = in_bytes(xattrs, *length);
  return name;
}

int set_file_meta(int fd, const struct apply_meta *meta) {
  if (fchown(fd, meta->uid, meta->gid) < 0)
    return -1;
  struct batch_in xattrs = meta->xattrs;
  for (uint32_t i = 0; i < meta->xattr_count; i++) {
    const uint8_t *value;
    uint32_t length;
    const char *name = next_xattr(&xattrs, &value, &length);
    if (fsetxattr(fd, name, value, length, 0) < 0)
      return -1;
  }
  struct timespec times[2] = {meta->mtime, meta->mtime};
  return fchmod(fd, meta->mode) < 0 ? -1 : futimens(fd, times);
}

int set_entry_meta(int dir, const char *name, const struct apply_meta *meta, bool symlink) {
  if (fchownat(dir, name, meta->uid, meta->gid, AT_SYMLINK_NOFOLLOW) < 0)
    return -1;
  if (meta->xattr_count && fchdir(dir) < 0)
    return -1;
  struct batch_in xattrs = meta->xattrs;
  for (uint32_t i = 0; i < meta->xattr_count; i++) {
    const uint8_t *value;
    uint32_t length;
    const char *xattr = next_xattr(&xattrs, &value, &length);
    if (lsetxattr(name, xattr, value, length, 0) < 0)
      return -1;
  }
  if (!symlink && fchmodat(dir, name, meta->mode, 0) < 0)
    return -1;
  struct timespec times[2] = {meta->mtime, meta->mtime};
  return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}
