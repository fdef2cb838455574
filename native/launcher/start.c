#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "filesystem.h"
#include "ids.h"
#include "keeper.h"
#include "kernel.h"
#include "limits.h"
#include "mounts.h"
#include "scratch.h"
#include "step.h"

static int open_stack(const struct tsb_stack *stack, int keeper, struct tsb_material *material,
                      struct tsb_report *report) {
  material->layers = calloc(stack->layer_count + 1, sizeof *material->layers);
  material->scratch = (struct tsb_scratch){.dir = -1, .mount = -1};
  if (material->layers == NULL)
    return failed(report, TSB_STAGE_LAYER, "memory");
  for (size_t i = 0; i < stack->layer_count; i++) {
    material->layers[i] = take_layer(&stack->layers[i], keeper, report);
    if (material->layers[i] < 0)
      return -1;
  }
  if (stack->scratch == NULL)
    return 0;
  if (stack->layer_count == 0)
    return open_scratch(stack->scratch, NULL, &material->scratch, report);
  const size_t top = stack->layer_count - 1;
  struct stat root;
  if (fstat(material->layers[top], &root) < 0)
    return failed(report, TSB_STAGE_LAYER, stack->layers[top].path);
  if (stack->layers[top].owner_is_root)
    root.st_uid = root.st_gid = 0;
  return open_scratch(stack->scratch, &root, &material->scratch, report);
}

static int open_stacks(struct tsb_step *step) {
  struct tsb_spec *spec = &step->spec;
  struct tsb_report *report = &step->shared->report;
  step->materials = calloc(spec->stack_count, sizeof *step->materials);
  TSB_FD keeper = spec->keeper > 0 ? sys_pidfd_open(spec->keeper) : -1;
  if (step->materials == NULL)
    return failed(report, TSB_STAGE_LAYER, "memory");
  for (size_t i = 0; i < spec->stack_count; i++)
    if (open_stack(&spec->stacks[i], keeper, &step->materials[i], report) < 0)
      return -1;
  return 0;
}

/* Sysfs belongs to a network namespace; on the host's network the step can only be shown the
 * host's. */
static int open_host_sys(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  step->host_sys = -1;
  if (!step->spec.host_network)
    return 0;
  TSB_FD sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (sys < 0)
    return failed(report, TSB_STAGE_SYS, "/sys");
  step->host_sys = clone_mount(sys, TSB_STAGE_SYS, "/sys", report);
  if (step->host_sys < 0)
    return -1;
  unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (!step->spec.unconfined)
    attributes |= MOUNT_ATTR_RDONLY;
  return restrict_mount(step->host_sys, attributes, TSB_STAGE_SYS, "/sys", report);
}

/* One pipe for the stream `descriptor` if that is a socket. The step's user owns it, so that it can
 * be reopened. */
static int open_stream(const struct tsb_step *step, const struct tsb_ids *ids, int descriptor,
                       int *read_end) {
  struct stat status;
  int ends[2];
  *read_end = -1;
  if (fstat(descriptor, &status) < 0 || !S_ISSOCK(status.st_mode))
    return fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  uid_t shift = ids->shifted ? ids->base : 0;
  if (fchown(ends[1], shift + step->spec.uid, shift + step->spec.gid) < 0 && errno != EINVAL)
    return -1;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  *read_end = ends[0];
  return ends[1];
}

static int open_channels(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  int go[2];
  int started[2];
  if (pipe2(go, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0)
    return failed(report, TSB_STAGE_INIT, "pipe");
  step->go_read = go[0];
  step->go_write = go[1];
  step->started_read = started[0];
  step->started_write = started[1];
  return 0;
}

/* The directory's descriptor if it lies in a v2 hierarchy, where a process can be born into it;
 * else -1. */
static int open_birthplace(const struct tsb_spec *spec) {
  struct statfs filesystem;
  for (size_t i = 0; i < spec->cgroup_count; i++) {
    int directory = open(spec->cgroups[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0 && fstatfs(directory, &filesystem) == 0 &&
        filesystem.f_type == CGROUP2_SUPER_MAGIC)
      return directory;
    if (directory >= 0)
      close(directory);
  }
  return -1;
}

static int join_cgroups(const struct tsb_spec *spec, pid_t child, bool born_in_v2,
                        struct tsb_report *report) {
  char process[16];
  struct statfs filesystem;
  int length = snprintf(process, sizeof process, "%d", child);
  for (size_t i = 0; i < spec->cgroup_count; i++) {
    TSB_FD directory = open(spec->cgroups[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || fstatfs(directory, &filesystem) < 0)
      return failed(report, TSB_STAGE_CGROUP, spec->cgroups[i]);
    if (filesystem.f_type == CGROUP2_SUPER_MAGIC && born_in_v2) {
      born_in_v2 = false; /* only the first one was the birthplace */
      continue;
    }
    TSB_FD file = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, process, (size_t)length) < 0)
      return failed(report, TSB_STAGE_CGROUP, spec->cgroups[i]);
  }
  return 0;
}

/* The streams become the child's 1 and 2 here, in the child: the parent keeps its own. */
static void enter_child(struct tsb_step *step, int out, int err) {
  if (dup2(out, 1) < 0 || dup2(err, 2) < 0) {
    failed(&step->shared->report, TSB_STAGE_INIT, "standard streams");
    _exit(1);
  }
  run_child(step);
}

static pid_t clone_child(struct tsb_step *step, int birthplace, int out, int err) {
  struct clone_args args = {
      .flags =
          CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWTIME,
      .exit_signal = SIGCHLD,
  };
  if (!step->spec.host_network)
    args.flags |= CLONE_NEWNET;
  if (birthplace >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)birthplace;
  }
  pid_t child = sys_clone3(&args);
  if (child == 0)
    enter_child(step, out, err);
  if (child < 0)
    return failed(&step->shared->report, TSB_STAGE_NAMESPACE, "user, mount, pid and other");
  return child;
}

/* What the maps of mounts are made from. */
struct mapping {
  const struct tsb_ids *ids;
  int userns; /* the child's */
  struct tsb_report *report;
};

static int map_one(const struct mapping *mapping, int mount, bool owner_is_root,
                   const char *object) {
  if (owner_is_root)
    return map_mount_of_owner(mount, mapping->ids, object, mapping->report);
  return map_mount(mount, mapping->userns, object, mapping->report);
}

static int map_stack(const struct mapping *mapping, const struct tsb_stack *stack,
                     const struct tsb_material *material) {
  for (size_t i = 0; i < stack->layer_count; i++) {
    const struct tsb_layer *layer = &stack->layers[i];
    if (map_one(mapping, material->layers[i], layer->owner_is_root, layer->path) < 0)
      return -1;
  }
  if (stack->scratch == NULL)
    return 0;
  return map_one(mapping, material->scratch.mount, false, stack->scratch);
}

/* Idmaps everything that lies on disk to the child's user namespace. */
static int map_mounts(struct tsb_step *step, const struct tsb_ids *ids, pid_t child) {
  struct tsb_report *report = &step->shared->report;
  struct tsb_spec *spec = &step->spec;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", child);
  TSB_FD userns = open(path, O_RDONLY | O_CLOEXEC);
  if (userns < 0)
    return failed(report, TSB_STAGE_IDMAP, path);
  const struct mapping mapping = {.ids = ids, .userns = userns, .report = report};
  for (size_t i = 0; i < spec->stack_count; i++)
    if (map_stack(&mapping, &spec->stacks[i], &step->materials[i]) < 0)
      return -1;
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct tsb_mount *mount = &spec->mounts[i];
    const char *object = mount->kind == TSB_MOUNT_BIND ? mount->root : mount->path;
    if (mount->source >= 0 && map_one(&mapping, mount->source, mount->owner_is_root, object) < 0)
      return -1;
  }
  return 0;
}

/* Gives the waiting child its cgroups, ids and mounts, and lets it go. Returns 0 or -1. */
static int equip_child(struct tsb_step *step, const struct tsb_ids *ids, pid_t child,
                       bool born_in_v2) {
  struct tsb_report *report = &step->shared->report;
  if (join_cgroups(&step->spec, child, born_in_v2, report) < 0)
    return -1;
  if (write_maps(ids, child, report) < 0)
    return -1;
  if (ids->shifted && map_mounts(step, ids, child) < 0)
    return -1;
  if (allow_limits(&step->spec, child, report) < 0)
    return -1;
  if (write(step->go_write, "", 1) != 1)
    return failed(report, TSB_STAGE_NAMESPACE, "child");
  return 0;
}

static pid_t start_equipped(struct tsb_step *step, const struct tsb_ids *ids) {
  struct tsb_report *report = &step->shared->report;
  TSB_FD birthplace = open_birthplace(&step->spec);
  TSB_FD out = open_stream(step, ids, 1, &step->stdout_read);
  TSB_FD err = open_stream(step, ids, 2, &step->stderr_read);
  if (out < 0 || err < 0)
    return failed(report, TSB_STAGE_INIT, "standard streams");
  pid_t child = clone_child(step, birthplace, out, err);
  if (child < 0)
    return -1;
  close(step->started_write);
  if (equip_child(step, ids, child, birthplace >= 0) == 0)
    return child;
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return -1;
}

pid_t start_child(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  struct tsb_ids ids;
  if (open_stacks(step) < 0 || open_host_sys(step) < 0)
    return -1;
  if (open_sources(&step->spec, report) < 0)
    return -1;
  if (choose_ids(&ids, report) < 0 || open_channels(step) < 0)
    return -1;
  return start_equipped(step, &ids);
}
