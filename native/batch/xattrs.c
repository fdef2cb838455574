#include "xattrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Same numbers on every architecture; newer than the headers we build with. */
#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#endif

/* The kernel allocates as much as it is offered: a large buffer for each file costs more than the
 * rare second call. */
#define USUAL_BYTES ((size_t)512)

struct xattrat_args {
  uint64_t value __attribute__((aligned(8)));
  uint32_t size;
  uint32_t flags;
};

int xattr_reader_init(struct xattr_reader *reader) {
  reader->by_proc = false;
  reader->names = malloc(XATTR_BUFFER);
  reader->value = malloc(XATTR_BUFFER);
  return reader->names && reader->value ? 0 : -1;
}

void xattr_reader_free(struct xattr_reader *reader) {
  free(reader->names);
  free(reader->value);
}

/* A path for calls that know no directory descriptor. The name is at most NAME_MAX bytes. */
struct proc_path {
  char text[320];
};

static const char *proc_path(struct proc_path *path, int dir, const char *name) {
  snprintf(path->text, sizeof path->text, "/proc/self/fd/%d/%s", dir, name);
  return path->text;
}

static ssize_t list_names(struct xattr_reader *reader, int dir, const char *name, size_t size) {
  char *names = (char *)reader->names;
  if (!*name)
    return flistxattr(dir, names, size);
  if (!reader->by_proc) {
    long got = syscall(SYS_listxattrat, dir, name, AT_SYMLINK_NOFOLLOW, names, size);
    if (got >= 0 || (errno != ENOSYS && errno != EPERM))
      return got;
    reader->by_proc = true; /* EPERM: a seccomp filter that does not know the call */
  }
  struct proc_path path;
  return llistxattr(proc_path(&path, dir, name), names, size);
}

static ssize_t get_value(struct xattr_reader *reader, int dir, const char *name, const char *xattr,
                         size_t size) {
  if (!*name)
    return fgetxattr(dir, xattr, reader->value, size);
  if (!reader->by_proc) {
    struct xattrat_args args = {.value = (uintptr_t)reader->value, .size = (uint32_t)size};
    return syscall(SYS_getxattrat, dir, name, AT_SYMLINK_NOFOLLOW, xattr, &args, sizeof args);
  }
  struct proc_path path;
  return lgetxattr(proc_path(&path, dir, name), xattr, reader->value, size);
}

int read_xattrs(struct xattr_reader *reader, int dir, const char *name, struct batch_out *out) {
  ssize_t names = list_names(reader, dir, name, USUAL_BYTES);
  if (names < 0 && errno == ERANGE)
    names = list_names(reader, dir, name, XATTR_BUFFER);
  if (names < 0)
    return errno == ENOTSUP || errno == ENOENT ? 0 : -1;
  int count = 0;
  for (ssize_t at = 0; at < names;) {
    const char *xattr = (const char *)reader->names + at;
    size_t length = strlen(xattr);
    at += (ssize_t)length + 1;
    ssize_t size = get_value(reader, dir, name, xattr, USUAL_BYTES);
    if (size < 0 && errno == ERANGE)
      size = get_value(reader, dir, name, xattr, XATTR_BUFFER);
    if (size < 0) {
      /* Removed meanwhile, or an attribute of a file whose content we may not read either. */
      if (errno == ENODATA || errno == EACCES || errno == ENOENT)
        continue;
      return -1;
    }
    out_u32(out, (uint32_t)length);
    out_u32(out, (uint32_t)size);
    out_bytes(out, xattr, length);
    out_bytes(out, reader->value, (size_t)size);
    count++;
  }
  return count;
}
