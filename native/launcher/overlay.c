/* Mount points that no layer has come from a "skeleton", a tmpfs at the very bottom of the stack:
 * whatever the image says goes before it, and nothing is ever created in the writable directory,
 * where it would become part of the layer. Where the image hides the skeleton's entry (a whiteout)
 * or leads elsewhere (a dangling symlink), a second skeleton on top of the layers holds exactly the
 * missing path, its parents with the attributes they have in the image. */
#include "overlay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"
#include "scratch.h"
#include "target.h"

static const char *const standard_places[] = {"/proc", "/sys", "/dev"};
#define STANDARD_COUNT (sizeof standard_places / sizeof *standard_places)

static int mount_tmpfs(struct tsb_report *report) {
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

static int attach(const struct tsb_bench *bench, int mount, const char *name,
                  struct tsb_report *report) {
  if (mkdirat(bench->dir, name, 0755) < 0 || sys_move_mount(mount, bench->dir, name) < 0)
    return failed(report, TSB_STAGE_OVERLAY, name);
  return 0;
}

/* True for places inside /proc, /sys and /dev, which are filesystems of the step's own. */
static bool is_inside_standard(const char *target) {
  for (size_t i = 0; i < STANDARD_COUNT; i++) {
    size_t length = strlen(standard_places[i]);
    if (strncmp(target, standard_places[i], length) == 0 && target[length] == '/')
      return true;
  }
  return false;
}

static int fill_skeleton(struct tsb_step *step, int skeleton) {
  struct tsb_report *report = &step->shared->report;
  for (size_t i = 0; i < STANDARD_COUNT; i++)
    if (make_place(skeleton, standard_places[i], false, report) < 0)
      return -1;
  for (size_t i = 0; i < step->spec.mount_count; i++) {
    const struct tsb_mount *mount = &step->spec.mounts[i];
    if (is_inside_standard(mount->target))
      continue;
    if (make_place(skeleton, mount->target, mount->is_file, report) < 0)
      return -1;
  }
  return 0;
}

static int attach_layers(struct tsb_step *step, const struct tsb_bench *bench) {
  struct tsb_report *report = &step->shared->report;
  char name[32];
  for (size_t i = 0; i < step->spec.layer_count; i++) {
    snprintf(name, sizeof name, "%zu", i);
    if (attach(bench, step->layers[i], name, report) < 0)
      return -1;
  }
  TSB_FD skeleton = mount_tmpfs(report);
  if (skeleton < 0 || attach(bench, skeleton, "bottom", report) < 0)
    return -1;
  if (fill_skeleton(step, skeleton) < 0)
    return -1;
  return attach(bench, step->scratch.mount, "scratch", report);
}

static int set_options(int fs, const struct tsb_step *step, bool with_top) {
  char name[32];
  if (with_top && sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", "top") < 0)
    return -1;
  for (size_t i = step->spec.layer_count; i-- > 0;) {
    snprintf(name, sizeof name, "%zu", i);
    if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", name) < 0)
      return -1;
  }
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", "bottom") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", "scratch/upper") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", "scratch/work") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL) < 0)
    return -1;
  /* A renamed directory or a chmod must leave a difference that a tar can say. ("off" may still
   * mean "follow".) */
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "redirect_dir", "nofollow") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "metacopy", "off") < 0)
    return -1;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "index", "off") < 0)
    return -1;
  /* A step cut short is thrown away: neither its fsync(2) nor the unmount waits for the disk. */
  return sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL);
}

static int mount_overlay(struct tsb_step *step, bool with_top) {
  struct tsb_report *report = &step->shared->report;
  TSB_FD fs = sys_fsopen("overlay");
  if (fs < 0)
    return failed(report, TSB_STAGE_OVERLAY, "overlay");
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay") < 0 ||
      set_options(fs, step, with_top) < 0)
    return failed_mounting(report, TSB_STAGE_OVERLAY, fs, step->spec.scratch);
  if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return failed_mounting(report, TSB_STAGE_OVERLAY, fs, step->spec.scratch);
  int mount = sys_fsmount(fs, 0);
  if (mount < 0)
    return failed_mounting(report, TSB_STAGE_OVERLAY, fs, step->spec.scratch);
  return mount;
}

/* Adds `target` to the top skeleton if the image has no such place. */
static int supply_place(int root, const char *target, bool is_file, int *top,
                        struct tsb_report *report) {
  struct tsb_place place;
  if (resolve_place(root, target, &place, report) < 0)
    return -1;
  if (place.exists)
    return 0;
  if (*top < 0)
    *top = mount_tmpfs(report);
  if (*top < 0)
    return -1;
  return make_place_like(root, *top, place.path, is_file, report);
}

/* True when an earlier mount covers the place: it is looked for there, once that is mounted. */
static bool is_covered(const struct tsb_spec *spec, size_t index) {
  const char *target = spec->mounts[index].target;
  for (size_t i = 0; i < index; i++) {
    size_t length = strlen(spec->mounts[i].target);
    if (strncmp(target, spec->mounts[i].target, length) == 0 &&
        (target[length] == '/' || target[length] == '\0'))
      return true;
  }
  return is_inside_standard(target);
}

/* Returns the top skeleton, -1 if none is needed, -2 on failure. */
static int supply_places(struct tsb_step *step, int root) {
  struct tsb_report *report = &step->shared->report;
  int top = -1;
  for (size_t i = 0; i < STANDARD_COUNT; i++)
    if (supply_place(root, standard_places[i], false, &top, report) < 0)
      return -2;
  for (size_t i = 0; i < step->spec.mount_count; i++) {
    const struct tsb_mount *mount = &step->spec.mounts[i];
    if (is_covered(&step->spec, i))
      continue;
    if (supply_place(root, mount->target, mount->is_file, &top, report) < 0)
      return -2;
  }
  return top;
}

int mount_root(struct tsb_step *step, const struct tsb_bench *bench) {
  struct tsb_report *report = &step->shared->report;
  if (attach_layers(step, bench) < 0)
    return -1;
  int root = mount_overlay(step, false);
  if (root < 0)
    return -1;
  int top = supply_places(step, root);
  if (top == -2)
    return -1;
  if (top >= 0) {
    close(root); /* unmounts it: it was never attached */
    TSB_FD skeleton = top;
    if (attach(bench, skeleton, "top", report) < 0)
      return -1;
    if (renew_work(bench->dir, "scratch/work") < 0)
      return failed(report, TSB_STAGE_SCRATCH, "work");
    root = mount_overlay(step, true);
    if (root < 0)
      return -1;
  }
  if (attach(bench, root, "root", report) < 0)
    return -1;
  return root;
}
