#include "mounts.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"
#include "target.h"

/* `path` may come from a stage's image or a context: its symlinks lead nowhere outside `root`. */
static int open_source(struct tsb_mount *mount, struct tsb_report *report) {
  struct stat status;
  TSB_FD root = open(mount->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return failed(report, TSB_STAGE_BIND, mount->root);
  const char *path = mount->path[0] == '\0' ? "." : mount->path;
  TSB_FD source = sys_openat2(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (source < 0 || fstat(source, &status) < 0)
    return failed(report, TSB_STAGE_BIND, mount->path);
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
    return failed_with(report, TSB_STAGE_BIND, EINVAL, mount->path);
  mount->is_file = !S_ISDIR(status.st_mode);
  mount->source = clone_mount(source, TSB_STAGE_BIND, mount->path, report);
  if (mount->source < 0)
    return -1;
  unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  if (mount->readonly)
    attributes |= MOUNT_ATTR_RDONLY;
  return restrict_mount(mount->source, attributes, TSB_STAGE_BIND, mount->path, report);
}

/* The socket lies in a directory of the manager's own. */
static int open_socket(struct tsb_mount *mount, struct tsb_report *report) {
  struct stat status;
  TSB_FD socket = open(mount->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (socket < 0 || fstat(socket, &status) < 0)
    return failed(report, TSB_STAGE_BIND, mount->path);
  if (!S_ISSOCK(status.st_mode))
    return failed_with(report, TSB_STAGE_BIND, ENOTSOCK, mount->path);
  if (fchownat(AT_FDCWD, mount->path, mount->uid, mount->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
      fchmodat(AT_FDCWD, mount->path, mount->mode, 0) < 0)
    return failed(report, TSB_STAGE_BIND, mount->path);
  mount->source = clone_mount(socket, TSB_STAGE_BIND, mount->path, report);
  if (mount->source < 0)
    return -1;
  const unsigned attributes =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  return restrict_mount(mount->source, attributes, TSB_STAGE_BIND, mount->path, report);
}

int open_sources(struct tsb_spec *spec, struct tsb_report *report) {
  for (size_t i = 0; i < spec->mount_count; i++) {
    struct tsb_mount *mount = &spec->mounts[i];
    if (mount->kind == TSB_MOUNT_BIND && open_source(mount, report) < 0)
      return -1;
    if (mount->kind == TSB_MOUNT_SOCKET && open_socket(mount, report) < 0)
      return -1;
  }
  return 0;
}

static int write_all(int file, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(file, bytes, count);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return -1;
    bytes += written;
    count -= (size_t)written;
  }
  return 0;
}

/* Returns a detached read-only mount of one file on the private tmpfs. It is a program where its
 * mode says so, as a heredoc's script is. */
static int mount_bytes(const struct tsb_mount *mount, const struct tsb_bench *bench, size_t index,
                       struct tsb_report *report) {
  char name[32];
  snprintf(name, sizeof name, "bytes%zu", index);
  TSB_FD file = openat(bench->dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0 || write_all(file, mount->bytes, mount->byte_count) < 0)
    return failed(report, TSB_STAGE_MOUNT, mount->target);
  if (fchown(file, mount->uid, mount->gid) < 0 || fchmod(file, mount->mode) < 0)
    return failed(report, TSB_STAGE_MOUNT, mount->target);
  TSB_FD place = openat(bench->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0)
    return failed(report, TSB_STAGE_MOUNT, mount->target);
  int source = clone_mount(place, TSB_STAGE_MOUNT, mount->target, report);
  unsigned attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  if ((mount->mode & 0111) == 0)
    attributes |= MOUNT_ATTR_NOEXEC;
  if (source < 0)
    return -1;
  if (restrict_mount(source, attributes, TSB_STAGE_MOUNT, mount->target, report) == 0)
    return source;
  close(source);
  return -1;
}

static int mount_memory(const struct tsb_mount *mount, struct tsb_report *report) {
  char size[24];
  snprintf(size, sizeof size, "%llu", (unsigned long long)mount->size_bytes);
  const struct tsb_option unlimited[] = {{"mode", "1777"}, {NULL, NULL}};
  const struct tsb_option limited[] = {{"mode", "1777"}, {"size", size}, {NULL, NULL}};
  unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  if (mount->readonly)
    attributes |= MOUNT_ATTR_RDONLY;
  return mount_filesystem("tmpfs", "tmpfs", mount->size_bytes > 0 ? limited : unlimited, attributes,
                          TSB_STAGE_MOUNT, report);
}

static int open_mount(const struct tsb_mount *mount, const struct tsb_bench *bench, size_t index,
                      struct tsb_report *report) {
  switch (mount->kind) {
  case TSB_MOUNT_TMPFS:
    return mount_memory(mount, report);
  case TSB_MOUNT_BYTES:
    return mount_bytes(mount, bench, index, report);
  case TSB_MOUNT_BIND:
  case TSB_MOUNT_STACK:
  case TSB_MOUNT_SOCKET:
    return mount->source;
  }
  return -1;
}

/* Opens the mount point; a place inside an earlier mount may have to be made there. */
static int open_target(int root, const struct tsb_mount *mount, struct tsb_report *report) {
  struct tsb_place place;
  struct statfs filesystem;
  struct stat status;
  if (resolve_place(root, mount->target, &place, report) < 0)
    return -1;
  if (!place.exists && make_place(root, place.path, mount->is_file, report) < 0)
    return -1;
  TSB_FD target = sys_openat2(root, place.path, O_PATH | O_NOFOLLOW,
                              RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (target < 0 || fstatfs(target, &filesystem) < 0 || fstat(target, &status) < 0)
    return failed(report, TSB_STAGE_MOUNT, mount->target);
  /* A mount over a part of /proc or /sys would fool the masks and programs that trust these files.
   */
  if (filesystem.f_type == PROC_SUPER_MAGIC || filesystem.f_type == SYSFS_MAGIC)
    return failed_with(report, TSB_STAGE_MOUNT, EPERM, mount->target);
  if (S_ISDIR(status.st_mode) == mount->is_file)
    return failed_with(report, TSB_STAGE_MOUNT, mount->is_file ? EISDIR : ENOTDIR, mount->target);
  return fcntl(target, F_DUPFD_CLOEXEC, 0);
}

int attach_mounts(struct tsb_step *step, const struct tsb_bench *bench, int root) {
  struct tsb_report *report = &step->shared->report;
  for (size_t i = 0; i < step->spec.mount_count; i++) {
    const struct tsb_mount *mount = &step->spec.mounts[i];
    TSB_FD target = open_target(root, mount, report);
    if (target < 0)
      return -1;
    TSB_FD source = open_mount(mount, bench, i, report);
    if (source < 0)
      return -1;
    if (sys_move_mount(source, target, "") < 0)
      return failed(report, TSB_STAGE_MOUNT, mount->target);
  }
  return 0;
}
