#include "devices.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

static const char *const masked[] = {
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/sysrq-trigger",
    "sys/firmware",
    "sys/devices/virtual/powercap",
};

static const char *const readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys"};

/* Opens `path` if it exists and is what it claims to be: a part of procfs or sysfs, reached through
 * no symlink. Returns the descriptor, -1 where there is no such path, -2 on failure. */
static int open_kernel_path(int root, const char *path, struct tsb_report *report) {
  struct statfs filesystem;
  int entry = sys_openat2(root, path, O_PATH | O_NOFOLLOW,
                          RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (entry < 0 && (errno == ENOENT || errno == ENOTDIR))
    return -1;
  long expected = path[0] == 'p' ? PROC_SUPER_MAGIC : SYSFS_MAGIC;
  if (entry >= 0 && fstatfs(entry, &filesystem) == 0 && filesystem.f_type == expected)
    return entry;
  if (entry >= 0) {
    errno = EXDEV;
    close(entry);
  }
  failed(report, TSB_STAGE_PROC, path);
  return -2;
}

/* Covers a directory with `empty` and a file with the step's own /dev/null. */
static int mask_path(int root, const char *path, int empty, int null, struct tsb_report *report) {
  struct stat status;
  TSB_FD entry = open_kernel_path(root, path, report);
  if (entry == -1)
    return 0;
  if (entry < 0 || fstat(entry, &status) < 0)
    return -1;
  TSB_FD cover = clone_mount(S_ISDIR(status.st_mode) ? empty : null, TSB_STAGE_PROC, path, report);
  if (cover < 0)
    return -1;
  if (restrict_mount(cover, MOUNT_ATTR_RDONLY, TSB_STAGE_PROC, path, report) < 0)
    return -1;
  if (sys_move_mount(cover, entry, "") < 0)
    return failed(report, TSB_STAGE_PROC, path);
  return 0;
}

static int make_readonly(int root, const char *path, struct tsb_report *report) {
  TSB_FD entry = open_kernel_path(root, path, report);
  if (entry == -1)
    return 0;
  if (entry < 0)
    return -1;
  TSB_FD copy = clone_mount(entry, TSB_STAGE_PROC, path, report);
  if (copy < 0 || restrict_mount(copy, MOUNT_ATTR_RDONLY, TSB_STAGE_PROC, path, report) < 0)
    return -1;
  if (sys_move_mount(copy, entry, "") < 0)
    return failed(report, TSB_STAGE_PROC, path);
  return 0;
}

int mask_kernel_paths(const struct tsb_bench *bench, int root, struct tsb_report *report) {
  struct stat status;
  if (mkdirat(bench->dir, "empty", 0555) < 0)
    return failed(report, TSB_STAGE_PROC, "empty");
  TSB_FD empty = openat(bench->dir, "empty", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (empty < 0)
    return failed(report, TSB_STAGE_PROC, "empty");
  /* Opened through the root once more and checked again: nothing of the image may stand in for it.
   */
  TSB_FD null = sys_openat2(root, "dev/null", O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT);
  if (null < 0 || fstat(null, &status) < 0)
    return failed(report, TSB_STAGE_DEV, "/dev/null");
  if (!S_ISCHR(status.st_mode))
    return failed_with(report, TSB_STAGE_DEV, ENODEV, "/dev/null");
  for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
    if (mask_path(root, masked[i], empty, null, report) < 0)
      return -1;
  for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++)
    if (make_readonly(root, readonly[i], report) < 0)
      return -1;
  return 0;
}
