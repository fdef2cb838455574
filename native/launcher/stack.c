#include "stack.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

int mount_tmpfs(struct tsb_report *report) {
  const struct tsb_option options[] = {{"mode", "0755"}, {NULL, NULL}};
  return mount_filesystem("tmpfs", "tmpfs", options, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
                          TSB_STAGE_OVERLAY, report);
}

int open_bench(struct tsb_bench *bench, struct tsb_report *report) {
  if (sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return failed(report, TSB_STAGE_OVERLAY, "private mounts");
  bench->dir = mount_tmpfs(report);
  if (bench->dir < 0)
    return -1;
  /* Over "/" and reached by descriptor only: no directory of the host is needed for it. */
  if (sys_move_mount(bench->dir, AT_FDCWD, "/") < 0 || fchdir(bench->dir) < 0)
    return failed(report, TSB_STAGE_OVERLAY, "the private tmpfs");
  return 0;
}

int attach(const struct tsb_bench *bench, int mount, const char *name, struct tsb_report *report) {
  if (mkdirat(bench->dir, name, 0755) < 0 || sys_move_mount(mount, bench->dir, name) < 0)
    return failed(report, TSB_STAGE_OVERLAY, name);
  return 0;
}

int attach_stack(struct tsb_step *step, const struct tsb_bench *bench, size_t number) {
  struct tsb_report *report = &step->shared->report;
  const struct tsb_stack *stack = &step->spec.stacks[number];
  const struct tsb_material *material = &step->materials[number];
  char name[64];
  snprintf(name, sizeof name, "%zu", number);
  if (mkdirat(bench->dir, name, 0755) < 0)
    return failed(report, TSB_STAGE_OVERLAY, name);
  for (size_t i = 0; i < stack->layer_count; i++) {
    snprintf(name, sizeof name, "%zu/%zu", number, i);
    if (attach(bench, material->layers[i], name, report) < 0)
      return -1;
  }
  if (stack->scratch == NULL)
    return 0;
  snprintf(name, sizeof name, "%zu/scratch", number);
  return attach(bench, material->scratch.mount, name, report);
}

static int set_directory(int fs, const char *option, size_t number, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "%zu/%s", number, name);
  return sys_fsconfig(fs, FSCONFIG_SET_STRING, option, path);
}

static int set_layers(int fs, const struct tsb_stack *stack, size_t number,
                      enum tsb_skeletons skeletons) {
  char name[32];
  if (skeletons == TSB_BOTTOM_AND_TOP && set_directory(fs, "lowerdir+", number, "top") < 0)
    return -1;
  for (size_t i = stack->layer_count; i-- > 0;) {
    snprintf(name, sizeof name, "%zu", i);
    if (set_directory(fs, "lowerdir+", number, name) < 0)
      return -1;
  }
  return set_directory(fs, "lowerdir+", number, "bottom");
}

static int set_writable(int fs, size_t number) {
  if (set_directory(fs, "upperdir", number, "scratch/upper") < 0)
    return -1;
  if (set_directory(fs, "workdir", number, "scratch/work") < 0)
    return -1;
  /* A step cut short is thrown away: neither its fsync(2) nor the unmount waits for the disk. */
  return sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL);
}

static int set_options(int fs, const struct tsb_stack *stack, size_t number,
                       enum tsb_skeletons skeletons) {
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay") < 0)
    return -1;
  if (set_layers(fs, stack, number, skeletons) < 0)
    return -1;
  if (stack->scratch != NULL && set_writable(fs, number) < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL) < 0)
    return -1;
  /* A renamed directory or a chmod must leave a difference that a tar can say. ("off" may still
   * mean "follow".) */
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "redirect_dir", "nofollow") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "metacopy", "off") < 0)
    return -1;
  return sys_fsconfig(fs, FSCONFIG_SET_STRING, "index", "off");
}

int mount_stack(struct tsb_step *step, size_t number, enum tsb_skeletons skeletons) {
  struct tsb_report *report = &step->shared->report;
  const struct tsb_stack *stack = &step->spec.stacks[number];
  const char *object = stack->scratch           ? stack->scratch
                       : stack->layer_count > 0 ? stack->layers[0].path
                                                : "nothing";
  TSB_FD fs = sys_fsopen("overlay");
  if (fs < 0)
    return failed(report, TSB_STAGE_OVERLAY, "overlay");
  if (set_options(fs, stack, number, skeletons) < 0 ||
      sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return failed_mounting(report, TSB_STAGE_OVERLAY, fs, object);
  int mount = sys_fsmount(fs, stack->scratch == NULL ? MOUNT_ATTR_RDONLY : 0);
  if (mount < 0)
    return failed_mounting(report, TSB_STAGE_OVERLAY, fs, object);
  return mount;
}
