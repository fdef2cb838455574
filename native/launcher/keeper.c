#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

static bool can_clone_detached(void) {
  struct tsb_report report = {0};
  const struct tsb_option options[] = {{NULL, NULL}};
  TSB_FD mount = mount_filesystem("tmpfs", "tmpfs", options, 0, TSB_STAGE_LAYER, &report);
  if (mount < 0)
    return false;
  TSB_FD clone = sys_open_tree(mount, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
  return clone >= 0;
}

static void allow_many_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) < 0)
    return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

/* Answers all requests that are complete in `buffer`; returns how many bytes of it they were. */
static size_t answer_requests(const char *buffer, size_t length) {
  const char *at = buffer;
  const char *end = buffer + length;
  for (;;) {
    const char *tar = memchr(at, '\0', (size_t)(end - at));
    const char *next = tar == NULL ? NULL : memchr(tar + 1, '\0', (size_t)(end - tar - 1));
    if (next == NULL)
      return (size_t)(at - buffer);
    struct tsb_report report = {0};
    const struct tsb_layer layer = {.path = at, .tar = tar + 1, .kept = -1};
    dprintf(STDOUT_FILENO, "%d\n", mount_layer(&layer, &report));
    at = next + 1;
  }
}

int keep_mounts(void) {
  char buffer[4 * PATH_MAX];
  size_t used = 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  allow_many_files();
  if (!can_clone_detached())
    return 1;
  dprintf(STDOUT_FILENO, "ready\n");
  while (used < sizeof buffer) {
    ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - used);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return 0;
    used += (size_t)got;
    size_t done = answer_requests(buffer, used);
    memmove(buffer, buffer + done, used - done);
    used -= done;
  }
  return 125; /* a path longer than any path can be */
}

int take_layer(const struct tsb_layer *layer, int keeper, struct tsb_report *report) {
  if (keeper < 0 || layer->kept < 0)
    return mount_layer(layer, report);
  TSB_FD kept = sys_pidfd_getfd(keeper, layer->kept);
  int clone = kept < 0 ? -1 : sys_open_tree(kept, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
  return clone >= 0 ? clone : mount_layer(layer, report); /* the keeper may have died */
}
