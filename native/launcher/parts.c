/* A path is hidden by a whiteout in a skeleton above the layer, whose directories have the
 * attributes that they have in it. */
#include "parts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"
#include "target.h"

static int attach_skeleton(const struct tsb_bench *bench, int skeleton, size_t number,
                           const char *what, struct tsb_report *report) {
  char name[64];
  snprintf(name, sizeof name, "%zu/%s", number, what);
  return attach(bench, skeleton, name, report);
}

static int attach_hidden(struct tsb_step *step, const struct tsb_bench *bench, size_t number) {
  struct tsb_report *report = &step->shared->report;
  const struct tsb_stack *stack = &step->spec.stacks[number];
  const int model = step->materials[number].layers[0];
  TSB_FD skeleton = mount_tmpfs(report);
  if (skeleton < 0)
    return -1;
  for (size_t i = 0; i < stack->hidden_count; i++)
    if (hide_place(model, skeleton, stack->hidden[i], report) < 0)
      return -1;
  TSB_FD top = openat(skeleton, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (top < 0 || copy_attributes(model, ".", top) < 0)
    return failed(report, TSB_STAGE_TARGET, "hidden files");
  return attach_skeleton(bench, skeleton, number, "top", report);
}

/* Returns the attached tree of the stack, or -1. */
static int mount_tree(struct tsb_step *step, const struct tsb_bench *bench, size_t number) {
  struct tsb_report *report = &step->shared->report;
  const struct tsb_stack *stack = &step->spec.stacks[number];
  if (attach_stack(step, bench, number) < 0)
    return -1;
  TSB_FD bottom = mount_tmpfs(report); /* OverlayFS takes no single directory */
  if (bottom < 0 || attach_skeleton(bench, bottom, number, "bottom", report) < 0)
    return -1;
  if (stack->layer_count == 0 && stack->scratch == NULL)
    return fcntl(bottom, F_DUPFD_CLOEXEC, 0);
  if (stack->hidden_count > 0 && attach_hidden(step, bench, number) < 0)
    return -1;
  TSB_FD tree =
      mount_stack(step, number, stack->hidden_count > 0 ? TSB_BOTTOM_AND_TOP : TSB_BOTTOM);
  if (tree < 0 || attach_skeleton(bench, tree, number, "tree", report) < 0)
    return -1;
  return fcntl(tree, F_DUPFD_CLOEXEC, 0);
}

/* Symlinks in the path lead nowhere outside the tree. */
static int open_part(int tree, const struct tsb_stack *stack, struct tsb_mount *mount,
                     struct tsb_report *report) {
  const char *path = mount->path[0] == '\0' ? "." : mount->path;
  struct stat status;
  TSB_FD part = sys_openat2(tree, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (part < 0 || fstat(part, &status) < 0)
    return failed(report, TSB_STAGE_BIND, mount->path);
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
    return failed_with(report, TSB_STAGE_BIND, EINVAL, mount->path);
  mount->is_file = !S_ISDIR(status.st_mode);
  mount->source = clone_mount(part, TSB_STAGE_BIND, mount->path, report);
  if (mount->source < 0)
    return -1;
  unsigned attributes = MOUNT_ATTR_NODEV;
  if (stack->scratch == NULL)
    attributes |= MOUNT_ATTR_RDONLY;
  return restrict_mount(mount->source, attributes, TSB_STAGE_BIND, mount->path, report);
}

int open_parts(struct tsb_step *step, const struct tsb_bench *bench) {
  struct tsb_spec *spec = &step->spec;
  for (size_t number = 1; number < spec->stack_count; number++) {
    TSB_FD tree = mount_tree(step, bench, number);
    if (tree < 0)
      return -1;
    for (size_t i = 0; i < spec->mount_count; i++) {
      struct tsb_mount *mount = &spec->mounts[i];
      if (mount->kind != TSB_MOUNT_STACK || mount->stack != number)
        continue;
      if (open_part(tree, &spec->stacks[number], mount, &step->shared->report) < 0)
        return -1;
    }
  }
  return 0;
}
