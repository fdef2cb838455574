/* openat2(2): paths that were not chosen by us stay beneath a directory. */
#ifndef TSB_BATCH_OPEN_BENEATH_H
#define TSB_BATCH_OPEN_BENEATH_H

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* O_CLOEXEC is added. Kernels may give EAGAIN while something else is renamed; that is retried. */
static inline int open_beneath(int dir, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve};
  long fd;
  int tries = 0;
  do
    fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
  while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 1000)));
  return (int)fd;
}

/* A directory entry as it is: no symlink, nothing outside of `dir`. */
static inline int open_entry(int dir, const char *name, int flags) {
  return open_beneath(dir, name, flags | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* An O_PATH descriptor of the directory that the first `length` bytes of `path` name beneath `root`
 * (none: `root` itself), also where they are more than PATH_MAX. */
int open_dir_beneath(int root, const char *path, size_t length, uint64_t resolve);

#endif
