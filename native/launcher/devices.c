#include "devices.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

struct device {
  const char *name;
  unsigned minor;
  unsigned major;
};

static const struct device devices[] = {
    {"null", 3, 1},   {"zero", 5, 1},    {"full", 7, 1},
    {"random", 8, 1}, {"urandom", 9, 1}, {"tty", 0, 5},
};

struct link {
  const char *name;
  const char *target;
};

static const struct link links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
};

/* The image's own entry must be a directory: a symlink would put the mount where its author wants
 * it. */
static int attach_kernel(int mount, int root, const char *name, enum tsb_stage stage,
                         struct tsb_report *report) {
  struct stat status;
  if (fstatat(root, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return failed(report, stage, name);
  if (!S_ISDIR(status.st_mode))
    return failed_with(report, stage, ENOTDIR, name);
  if (sys_move_mount(mount, root, name) < 0)
    return failed(report, stage, name);
  return 0;
}

static int mount_proc(int root, struct tsb_report *report) {
  const struct tsb_option options[] = {{NULL, NULL}};
  TSB_FD proc = mount_filesystem("proc", "proc", options,
                                 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                                 TSB_STAGE_PROC, report);
  if (proc < 0)
    return -1;
  return attach_kernel(proc, root, "proc", TSB_STAGE_PROC, report);
}

/* A namespace that doesn't own its network can't mount sysfs: such a step sees the host's. */
static int mount_sys(struct tsb_step *step, int root) {
  struct tsb_report *report = &step->shared->report;
  unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (!step->spec.unconfined)
    attributes |= MOUNT_ATTR_RDONLY;
  if (step->spec.host_network)
    return attach_kernel(step->host_sys, root, "sys", TSB_STAGE_SYS, report);
  const struct tsb_option options[] = {{NULL, NULL}};
  TSB_FD sys = mount_filesystem("sysfs", "sysfs", options, attributes, TSB_STAGE_SYS, report);
  if (sys < 0)
    return -1;
  return attach_kernel(sys, root, "sys", TSB_STAGE_SYS, report);
}

/* Binds one device of the host, checked to be the device its name says. */
static int bind_device(int dev, const struct device *device, struct tsb_report *report) {
  char path[32];
  struct stat status;
  snprintf(path, sizeof path, "/dev/%s", device->name);
  TSB_FD node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (node < 0 || fstat(node, &status) < 0)
    return failed(report, TSB_STAGE_DEV, path);
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(device->major, device->minor))
    return failed_with(report, TSB_STAGE_DEV, ENODEV, path);
  TSB_FD mount = clone_mount(node, TSB_STAGE_DEV, path, report);
  if (mount < 0)
    return -1;
  TSB_FD file = openat(dev, device->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0 || sys_move_mount(mount, dev, device->name) < 0)
    return failed(report, TSB_STAGE_DEV, path);
  return 0;
}

static int attach_in_dev(int dev, int mount, const char *name, struct tsb_report *report) {
  if (mkdirat(dev, name, 0755) < 0 || sys_move_mount(mount, dev, name) < 0)
    return failed(report, TSB_STAGE_DEV, name);
  return 0;
}

static int mount_terminals(int dev, struct tsb_report *report) {
  /* No gid=5: where only one id is mapped there is no such group. */
  const struct tsb_option options[] = {
      {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}};
  TSB_FD mount = mount_filesystem("devpts", "devpts", options,
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, TSB_STAGE_DEV, report);
  if (mount < 0)
    return -1;
  return attach_in_dev(dev, mount, "pts", report);
}

static int mount_shared_memory(int dev, uint64_t size, struct tsb_report *report) {
  char bytes[24];
  snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)size);
  const struct tsb_option options[] = {{"mode", "1777"}, {"size", bytes}, {NULL, NULL}};
  TSB_FD mount = mount_filesystem("tmpfs", "tmpfs", options,
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                                  TSB_STAGE_DEV, report);
  if (mount < 0)
    return -1;
  return attach_in_dev(dev, mount, "shm", report);
}

static int mount_dev(struct tsb_step *step, int root) {
  struct tsb_report *report = &step->shared->report;
  const struct tsb_option options[] = {{"mode", "0755"}, {"size", "65536"}, {NULL, NULL}};
  TSB_FD dev =
      mount_filesystem("tmpfs", "tmpfs", options, MOUNT_ATTR_NOSUID, TSB_STAGE_DEV, report);
  if (dev < 0 || attach_kernel(dev, root, "dev", TSB_STAGE_DEV, report) < 0)
    return -1;
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    if (bind_device(dev, &devices[i], report) < 0)
      return -1;
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlinkat(links[i].target, dev, links[i].name) < 0)
      return failed(report, TSB_STAGE_DEV, links[i].name);
  if (mount_terminals(dev, report) < 0)
    return -1;
  return mount_shared_memory(dev, step->spec.shm_bytes, report);
}

int mount_kernel_filesystems(struct tsb_step *step, int root) {
  if (mount_proc(root, &step->shared->report) < 0)
    return -1;
  if (mount_sys(step, root) < 0)
    return -1;
  return mount_dev(step, root);
}
