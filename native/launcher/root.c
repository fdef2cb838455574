/* Mount points that no layer has come from a "skeleton", a tmpfs at the very bottom of the stack:
 * whatever the image says goes before it, and nothing is ever created in the writable directory,
 * where it would become part of the layer. Where the image hides the skeleton's entry (a whiteout)
 * or leads elsewhere (a dangling symlink), a second skeleton on top of the layers holds exactly the
 * missing path, its parents with the attributes they have in the image. */
#include "root.h"

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

/* The root is the first stack. */
#define ROOT 0

static int attach_root(struct tsb_step *step, const struct tsb_bench *bench) {
  struct tsb_report *report = &step->shared->report;
  if (attach_stack(step, bench, ROOT) < 0)
    return -1;
  TSB_FD skeleton = mount_tmpfs(report);
  if (skeleton < 0 || attach(bench, skeleton, "0/bottom", report) < 0)
    return -1;
  return fill_skeleton(step, skeleton);
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
  if (attach_root(step, bench) < 0)
    return -1;
  int root = mount_stack(step, ROOT, TSB_BOTTOM);
  if (root < 0)
    return -1;
  int top = supply_places(step, root);
  if (top == -2)
    return -1;
  if (top >= 0) {
    close(root); /* unmounts it: it was never attached */
    TSB_FD skeleton = top;
    if (attach(bench, skeleton, "0/top", report) < 0)
      return -1;
    if (renew_work(bench->dir, "0/scratch/work") < 0)
      return failed(report, TSB_STAGE_SCRATCH, "work");
    root = mount_stack(step, ROOT, TSB_BOTTOM_AND_TOP);
    if (root < 0)
      return -1;
  }
  if (attach(bench, root, "root", report) < 0)
    return -1;
  return root;
}
