#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "devices.h"
#include "kernel.h"
#include "mounts.h"
#include "parts.h"
#include "root.h"
#include "step.h"

/* Waits until the parent has written the id maps and joined the cgroups. */
static int await_parent(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  char go;
  ssize_t got;
  close(step->go_write);
  do
    got = read(step->go_read, &go, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1)
    return failed_with(report, TSB_STAGE_NAMESPACE, EPIPE, "the launcher");
  return 0;
}

/* From here on the kernel kills this process, and with it the whole step, when the parent dies. */
static int die_with_parent(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
    return failed(report, TSB_STAGE_NAMESPACE, "prctl");
  /* Only the parent holds the pipe's other end: closed, it died before the line above. */
  struct pollfd parent = {.fd = step->go_read};
  if (poll(&parent, 1, 0) != 0)
    return failed_with(report, TSB_STAGE_NAMESPACE, EPIPE, "the launcher");
  return 0;
}

static int enter_namespaces(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  if (await_parent(step) < 0)
    return -1;
  if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
    return failed(report, TSB_STAGE_IDS, "root of the step");
  if (die_with_parent(step) < 0)
    return -1; /* after setresuid(2), which clears the death signal */
  /* Nothing that runs as the step's root may look into this process. */
  if (prctl(PR_SET_DUMPABLE, 0) < 0)
    return failed(report, TSB_STAGE_NAMESPACE, "prctl");
  /* After the cgroups were joined: they are the root of what the step sees. */
  if (unshare(CLONE_NEWCGROUP) < 0)
    return failed(report, TSB_STAGE_CGROUP, "namespace");
  return 0;
}

static int raise_loopback(struct tsb_report *report) {
  struct ifreq request = {.ifr_name = "lo"};
  TSB_FD control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0)
    return failed(report, TSB_STAGE_NETWORK, "lo");
  if (ioctl(control, SIOCGIFFLAGS, &request) < 0)
    return failed(report, TSB_STAGE_NETWORK, "lo");
  request.ifr_flags |= IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &request) < 0)
    return failed(report, TSB_STAGE_NETWORK, "lo");
  return 0;
}

/* A root that can be left upwards would be the host's. */
static int require_top(struct stat *root, struct tsb_report *report) {
  struct stat parent;
  if (stat("/", root) < 0 || stat("/..", &parent) < 0)
    return failed(report, TSB_STAGE_ROOT, "/");
  if (root->st_dev != parent.st_dev || root->st_ino != parent.st_ino)
    return failed_with(report, TSB_STAGE_ROOT, EXDEV, "/..");
  return 0;
}

/* Makes `root` this process's "/" and detaches the old one. See pivot_root(2), NOTES. */
static int enter_root(int root, struct tsb_report *report) {
  if (fchdir(root) < 0)
    return failed(report, TSB_STAGE_ROOT, "the overlay");
  if (sys_pivot_root(".", ".") < 0)
    return failed(report, TSB_STAGE_ROOT, "/");
  /* The old root now lies over the new one, and over it the bench: first that, then the rest of the
   * host. */
  if (sys_umount2(".", MNT_DETACH) < 0)
    return failed(report, TSB_STAGE_ROOT, "bench");
  if (sys_umount2(".", MNT_DETACH) < 0)
    return failed(report, TSB_STAGE_ROOT, "old root");
  if (chdir("/") < 0)
    return failed(report, TSB_STAGE_ROOT, "/");
  return 0;
}

static int build_root(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  struct tsb_bench bench;
  if (open_bench(&bench, report) < 0 || open_parts(step, &bench) < 0)
    return -1;
  int root = mount_root(step, &bench);
  if (root < 0)
    return -1;
  if (mount_kernel_filesystems(step, root) < 0)
    return -1;
  if (attach_mounts(step, &bench, root) < 0)
    return -1;
  if (!step->spec.unconfined && mask_kernel_paths(&bench, root, report) < 0)
    return -1;
  return enter_root(root, report);
}

/* The step sees this process as its pid 1: not with a path of the host. */
static void rename_process(char **argv) {
  static const char name[] = "init";
  size_t room = strlen(argv[0]);
  for (char **arg = argv; *arg != NULL; arg++)
    memset(*arg, 0, strlen(*arg));
  if (room >= sizeof name)
    memcpy(argv[0], name, sizeof name);
  prctl(PR_SET_NAME, name);
}

/* Leaves the program's process the three standard streams, `started` and `ready`: no mount, no
 * namespace, none of the manager's channels. Returns the place of `ready` or -1. */
static int keep_descriptors(struct tsb_step *step, int ready) {
  enum { STARTED = 3, READY = 4, FIRST_FREE = 5 };
  int started = fcntl(step->started_write, F_DUPFD_CLOEXEC, FIRST_FREE);
  int moved = fcntl(ready, F_DUPFD_CLOEXEC, FIRST_FREE);
  if (started < 0 || moved < 0)
    return -1;
  if (dup3(started, STARTED, O_CLOEXEC) < 0 || dup3(moved, READY, O_CLOEXEC) < 0)
    return -1;
  return sys_close_range(FIRST_FREE, ~0u, 0) < 0 ? -1 : READY;
}

/* Starts the process that will become the program. Returns its pid, with *ready to tell it that the
 * root is there. */
static pid_t start_program(struct tsb_step *step, int *ready) {
  struct tsb_report *report = &step->shared->report;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return failed(report, TSB_STAGE_INIT, "pipe");
  pid_t program = fork();
  if (program < 0)
    return failed(report, TSB_STAGE_INIT, "fork");
  if (program == 0) {
    int kept = keep_descriptors(step, ends[0]);
    if (kept >= 0)
      become_program(step, kept);
    failed(report, TSB_STAGE_INIT, "descriptors");
    _exit(1);
  }
  close(ends[0]);
  close(step->started_write); /* from here on its end says that the program runs */
  *ready = ends[1];
  return program;
}

static int prepare(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  if (!step->spec.host_network && raise_loopback(report) < 0)
    return -1;
  if (sethostname(step->spec.hostname, strlen(step->spec.hostname)) < 0)
    return failed(report, TSB_STAGE_HOSTNAME, step->spec.hostname);
  return build_root(step);
}

static int announce_root(int ready, struct tsb_report *report) {
  struct stat root;
  if (require_top(&root, report) < 0)
    return -1;
  const struct tsb_root_id id = {.device = root.st_dev, .inode = root.st_ino};
  /* A program that ended already (it could not confine itself) has said why. */
  if (write(ready, &id, sizeof id) != sizeof id && errno != EPIPE)
    return failed(report, TSB_STAGE_INIT, "pipe");
  return 0;
}

void run_child(struct tsb_step *step) {
  int ready = -1;
  if (enter_namespaces(step) < 0)
    _exit(1);
  rename_process(step->argv);
  pid_t program = start_program(step, &ready);
  if (program < 0 || prepare(step) < 0 || announce_root(ready, &step->shared->report) < 0)
    _exit(1);
  reap_until_end(step, program);
}
