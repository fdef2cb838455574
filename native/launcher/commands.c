#include "commands.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

static int complain(const char *what, const char *object) {
  fprintf(stderr, "tsbuild-launcher: %s %s: %s\n", what, object, strerror(errno));
  return -1;
}

static int become_root(void) {
  if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
    return complain("become", "root");
  return 0;
}

int join_userns(const char *path) {
  char mounts[PATH_MAX];
  const char *slash = strrchr(path, '/');
  int length = slash == NULL ? 0 : (int)(slash - path);
  snprintf(mounts, sizeof mounts, "%.*s/mnt", length, path);
  TSB_FD userns = open(path, O_RDONLY | O_CLOEXEC);
  TSB_FD mountns = open(mounts, O_RDONLY | O_CLOEXEC);
  if (userns < 0 || mountns < 0)
    return complain("open", path);
  if (setns(userns, CLONE_NEWUSER) < 0)
    return complain("join", path);
  if (setns(mountns, CLONE_NEWNS) < 0)
    return complain("join", mounts);
  return become_root();
}

/* Runs newuidmap or newgidmap on `process`. */
static int write_map(const char *program, pid_t process, char *map) {
  char *args[64] = {(char *)program};
  char number[16];
  size_t count = 1;
  snprintf(number, sizeof number, "%d", process);
  args[count++] = number;
  char *rest = NULL;
  for (char *word = strtok_r(map, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    if (count == sizeof args / sizeof *args - 1)
      break;
    args[count++] = word;
  }
  pid_t child = fork();
  if (child == 0) {
    execvp(program, args);
    complain("execute", program);
    _exit(127);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child)
    return complain("run", program);
  return status == 0 ? 0 : -1;
}

/* The maps are written by a process that stayed outside. Its exit status: 0 when both are there. */
static pid_t start_mapper(int unshared, char *uid_map, char *gid_map) {
  pid_t holder = getpid();
  pid_t mapper = fork();
  if (mapper != 0)
    return mapper;
  char go;
  if (read(unshared, &go, 1) != 1)
    _exit(1);
  _exit(write_map("newuidmap", holder, uid_map) == 0 && write_map("newgidmap", holder, gid_map) == 0
            ? 0
            : 1);
}

static int enter_userns(char *uid_map, char *gid_map) {
  int unshared[2];
  int status;
  if (pipe2(unshared, O_CLOEXEC) < 0)
    return complain("open", "pipe");
  pid_t mapper = start_mapper(unshared[0], uid_map, gid_map);
  close(unshared[0]);
  if (mapper < 0)
    return complain("start", "mapper");
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
    complain("create", "user namespace");
    close(unshared[1]); /* ends the mapper */
    waitpid(mapper, &status, 0);
    return -1;
  }
  ssize_t told = write(unshared[1], "", 1);
  close(unshared[1]);
  if (waitpid(mapper, &status, 0) != mapper || told != 1 || status != 0)
    return -1;
  return become_root();
}

static int write_text(const char *path, const char *text) {
  TSB_FD file = open(path, O_WRONLY | O_CLOEXEC);
  size_t length = strlen(text);
  if (file < 0 || write(file, text, length) != (ssize_t)length)
    return complain("write", path);
  return 0;
}

/* A namespace of the caller's own id, which needs nobody's help. The kernel asks that setgroups(2)
 * be given up. */
static int enter_single_userns(void) {
  char uids[32];
  char gids[32];
  snprintf(uids, sizeof uids, "0 %u 1\n", geteuid());
  snprintf(gids, sizeof gids, "0 %u 1\n", getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
    return complain("create", "user namespace");
  if (write_text("/proc/self/setgroups", "deny") < 0)
    return -1;
  if (write_text("/proc/self/gid_map", gids) < 0)
    return -1;
  if (write_text("/proc/self/uid_map", uids) < 0)
    return -1;
  return become_root();
}

int hold_userns(int argc, char **argv) {
  char byte;
  if (argc != 0 && argc != 2) {
    errno = EINVAL;
    complain("read", "arguments");
    return 125;
  }
  if ((argc == 2 ? enter_userns(argv[0], argv[1]) : enter_single_userns()) < 0)
    return 125;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (write(STDOUT_FILENO, "ready\n", 6) != 6)
    return 125;
  while (read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR)
    errno = 0;
  return 0;
}

int probe_index(int argc, char **argv) {
  struct tsb_report report = {0};
  if (argc != 2) {
    errno = EINVAL;
    complain("read", "arguments");
    return 125;
  }
  const struct tsb_layer layer = {.path = argv[0], .tar = argv[1], .kept = -1};
  TSB_FD mount = mount_layer(&layer, &report);
  if (mount >= 0)
    return 0;
  fprintf(stderr, "%s\n%d\n%s\n", stage_name(report.stage), report.error, report.detail);
  return 1;
}
