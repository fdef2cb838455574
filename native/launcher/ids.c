#include "ids.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "kernel.h"

/* Above what distributions give to users and containers. Process ids that differ give ranges that
 * differ, unless they lie exactly a multiple of RANGE_COUNT apart; such steps share ids, not
 * namespaces. */
#define RANGE_BASE 0x70000000u
#define RANGE_SIZE 65536u
#define RANGE_COUNT 32768u

static ssize_t read_file(const char *path, char *buffer, size_t size) {
  TSB_FD file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return -1;
  ssize_t length = read(file, buffer, size - 1);
  if (length >= 0)
    buffer[length] = '\0';
  return length;
}

static int write_file(const char *path, const char *text) {
  TSB_FD file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0)
    return -1;
  size_t length = strlen(text);
  return write(file, text, length) == (ssize_t)length ? 0 : -1;
}

int choose_ids(struct tsb_ids *ids, struct tsb_report *report) {
  char map[4096];
  unsigned inside, outside, count;
  if (read_file("/proc/self/uid_map", map, sizeof map) < 0)
    return failed(report, TSB_STAGE_IDS, "/proc/self/uid_map");
  ids->shifted = sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
                 outside == 0 && count == 4294967295u;
  ids->base = RANGE_BASE + (uid_t)getpid() % RANGE_COUNT * RANGE_SIZE;
  return 0;
}

/* Every id that this namespace has, onto itself. Returns 0 or -1 with errno. */
static int copy_map(const char *from, const char *to) {
  char map[4096];
  char copy[4096];
  size_t used = 0;
  if (read_file(from, map, sizeof map) < 0)
    return -1;
  char *rest = NULL;
  for (char *line = strtok_r(map, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    unsigned inside, outside, count;
    if (sscanf(line, "%u %u %u", &inside, &outside, &count) != 3)
      continue;
    int added = snprintf(copy + used, sizeof copy - used, "%u %u %u\n", inside, inside, count);
    if (added < 0 || (size_t)added >= sizeof copy - used) {
      errno = E2BIG;
      return -1;
    }
    used += (size_t)added;
  }
  return write_file(to, copy);
}

static int write_map(const struct tsb_ids *ids, pid_t child, const char *name,
                     struct tsb_report *report) {
  char from[64];
  char to[64];
  char range[64];
  snprintf(from, sizeof from, "/proc/self/%s", name);
  snprintf(to, sizeof to, "/proc/%d/%s", child, name);
  snprintf(range, sizeof range, "0 %u %u\n", ids->base, RANGE_SIZE);
  int result = ids->shifted ? write_file(to, range) : copy_map(from, to);
  return result < 0 ? failed(report, TSB_STAGE_IDS, to) : 0;
}

int write_maps(const struct tsb_ids *ids, pid_t child, struct tsb_report *report) {
  if (write_map(ids, child, "gid_map", report) < 0)
    return -1;
  return write_map(ids, child, "uid_map", report);
}

int map_mount(int mount, int userns, const char *object, struct tsb_report *report) {
  struct mount_attr change = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
  if (sys_mount_setattr(mount, 0, &change) < 0)
    return failed(report, TSB_STAGE_IDMAP, object);
  return 0;
}

/* The range of the step with 0 and `owner` exchanged. An owner beyond the range takes root's place
 * only; the last id is given up for root's files. */
static void exchange_owner(const struct tsb_ids *ids, unsigned owner, char map[256]) {
  const unsigned base = ids->base;
  const unsigned others = owner < RANGE_SIZE ? owner : RANGE_SIZE - 1;
  size_t used = 0;
  if (owner == 0) {
    snprintf(map, 256, "0 %u %u\n", base, RANGE_SIZE);
    return;
  }
  used += (size_t)snprintf(map, 256, "%u %u 1\n0 %u 1\n", owner, base, base + others);
  if (others > 1)
    used += (size_t)snprintf(map + used, 256 - used, "1 %u %u\n", base + 1, others - 1);
  if (others + 1 < RANGE_SIZE)
    snprintf(map + used, 256 - used, "%u %u %u\n", others + 1, base + others + 1,
             RANGE_SIZE - others - 1);
}

/* A process that only has a user namespace, until it is killed. */
static pid_t start_sleeper(void) {
  struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  pid_t sleeper = sys_clone3(&args);
  if (sleeper != 0)
    return sleeper;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;)
    pause();
}

static int write_owner_maps(const struct tsb_ids *ids, pid_t sleeper, const struct stat *root) {
  char path[64];
  char map[256];
  exchange_owner(ids, root->st_gid, map);
  snprintf(path, sizeof path, "/proc/%d/gid_map", sleeper);
  if (write_file(path, map) < 0)
    return -1;
  exchange_owner(ids, root->st_uid, map);
  snprintf(path, sizeof path, "/proc/%d/uid_map", sleeper);
  if (write_file(path, map) < 0)
    return -1;
  snprintf(path, sizeof path, "/proc/%d/ns/user", sleeper);
  return open(path, O_RDONLY | O_CLOEXEC);
}

int map_mount_of_owner(int mount, const struct tsb_ids *ids, const char *object,
                       struct tsb_report *report) {
  struct stat root;
  if (fstat(mount, &root) < 0)
    return failed(report, TSB_STAGE_IDMAP, object);
  pid_t sleeper = start_sleeper();
  if (sleeper < 0)
    return failed(report, TSB_STAGE_NAMESPACE, "the owner's ids");
  TSB_FD userns = write_owner_maps(ids, sleeper, &root);
  if (userns < 0)
    failed(report, TSB_STAGE_IDMAP, object);
  kill(sleeper, SIGKILL);
  waitpid(sleeper, NULL, 0);
  return userns < 0 ? -1 : map_mount(mount, userns, object, report);
}
