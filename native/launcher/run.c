#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "filesystem.h"
#include "ids.h"
#include "kernel.h"
#include "mounts.h"
#include "relay.h"
#include "scratch.h"
#include "status.h"
#include "step.h"

#define SPEC_DESCRIPTOR 3
#define STATUS_DESCRIPTOR 4

static int open_layers(struct tsb_step *step) {
  struct tsb_spec *spec = &step->spec;
  struct tsb_report *report = &step->shared->report;
  step->layers = calloc(spec->layer_count + 1, sizeof *step->layers);
  if (step->layers == NULL)
    return failed(report, TSB_STAGE_LAYER, "memory");
  for (size_t i = 0; i < spec->layer_count; i++) {
    step->layers[i] = mount_layer(&spec->layers[i], report);
    if (step->layers[i] < 0)
      return -1;
  }
  int top = spec->layer_count > 0 ? step->layers[spec->layer_count - 1] : -1;
  step->scratch = open_scratch(spec->scratch, top, report);
  return step->scratch < 0 ? -1 : 0;
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
  const unsigned attributes =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
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
    return descriptor;
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

static pid_t clone_child(struct tsb_step *step, int out, int err) {
  TSB_FD birthplace = open_birthplace(&step->spec);
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
  return join_cgroups(&step->spec, child, birthplace >= 0, &step->shared->report) < 0 ? -1 : child;
}

/* Idmaps everything that lies on disk to the child's user namespace. */
static int map_mounts(struct tsb_step *step, pid_t child) {
  struct tsb_report *report = &step->shared->report;
  struct tsb_spec *spec = &step->spec;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", child);
  TSB_FD userns = open(path, O_RDONLY | O_CLOEXEC);
  if (userns < 0)
    return failed(report, TSB_STAGE_IDMAP, path);
  for (size_t i = 0; i < spec->layer_count; i++)
    if (map_mount(step->layers[i], userns, spec->layers[i].path, report) < 0)
      return -1;
  for (size_t i = 0; i < spec->mount_count; i++)
    if (spec->mounts[i].kind == TSB_MOUNT_BIND &&
        map_mount(spec->mounts[i].source, userns, spec->mounts[i].root, report) < 0)
      return -1;
  return map_mount(step->scratch, userns, spec->scratch, report);
}

/* Returns the child, running, or -1. */
static pid_t start_child(struct tsb_step *step) {
  struct tsb_report *report = &step->shared->report;
  struct tsb_ids ids;
  if (open_layers(step) < 0 || open_host_sys(step) < 0)
    return -1;
  if (open_sources(&step->spec, report) < 0)
    return -1;
  if (choose_ids(&ids, report) < 0 || open_channels(step) < 0)
    return -1;
  TSB_FD out = open_stream(step, &ids, 1, &step->stdout_read);
  TSB_FD err = open_stream(step, &ids, 2, &step->stderr_read);
  if (out < 0 || err < 0)
    return failed(report, TSB_STAGE_INIT, "standard streams");
  pid_t child = clone_child(step, out, err);
  if (child < 0)
    return -1;
  close(step->started_write);
  if (write_maps(&ids, child, report) < 0)
    return -1;
  if (ids.shifted && map_mounts(step, child) < 0)
    return -1;
  if (write(step->go_write, "", 1) != 1)
    return failed(report, TSB_STAGE_NAMESPACE, "child");
  return child;
}

enum { WATCH_SIGNAL, WATCH_MANAGER, WATCH_STARTED, WATCH_OUT, WATCH_ERR, WATCH_COUNT };

/* Passes what the manager sent on to the step. Returns true when the child ended. */
static bool handle_signal(int signals, pid_t child, int *wait_status) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != sizeof info)
    return false;
  if (info.ssi_signo != SIGCHLD) {
    /* SIGUSR2: the manager's patience is over. */
    kill(child, info.ssi_signo == SIGUSR2 ? SIGKILL : (int)info.ssi_signo);
    return false;
  }
  return waitpid(child, wait_status, WNOHANG) == child;
}

/* Serves the step until its pid 1 is gone, and with it every process of it. Returns pid 1's wait
 * status. */
static int serve_child(struct tsb_step *step, pid_t child, int signals,
                       struct tsb_relay relays[2]) {
  struct pollfd watched[WATCH_COUNT] = {
      [WATCH_SIGNAL] = {.fd = signals, .events = POLLIN},
      [WATCH_MANAGER] = {.fd = SPEC_DESCRIPTOR}, /* only its end is of interest */
      [WATCH_STARTED] = {.fd = step->started_read},
  };
  for (;;) {
    int wait_status;
    watch_relay(&relays[0], &watched[WATCH_OUT]);
    watch_relay(&relays[1], &watched[WATCH_ERR]);
    if (poll(watched, WATCH_COUNT, -1) < 0 && errno != EINTR)
      return SIGKILL;
    if (watched[WATCH_MANAGER].revents & (POLLHUP | POLLERR)) {
      kill(child, SIGKILL);
      watched[WATCH_MANAGER].fd = -1;
    }
    if (watched[WATCH_STARTED].revents != 0) {
      if (step->shared->report.stage == TSB_STAGE_NONE)
        send_ready(STATUS_DESCRIPTOR);
      watched[WATCH_STARTED].fd = -1;
    }
    for (int i = 0; i < 2; i++)
      if (watched[WATCH_OUT + i].revents != 0)
        pump_relay(&relays[i]);
    if (watched[WATCH_SIGNAL].revents != 0 && handle_signal(signals, child, &wait_status))
      return wait_status;
  }
}

/* Runs the child to its end. Returns its wait status, or -1 when it could not be started. */
static int run_to_end(struct tsb_step *step, int signals) {
  pid_t child = start_child(step);
  if (child < 0)
    return -1;
  struct tsb_relay *relays = calloc(2, sizeof *relays);
  if (relays == NULL)
    return failed(&step->shared->report, TSB_STAGE_INIT, "memory");
  relays[0].from = step->stdout_read;
  relays[0].to = 1;
  relays[1].from = step->stderr_read;
  relays[1].to = 2;
  int wait_status = serve_child(step, child, signals, relays);
  drain_relay(&relays[0]);
  drain_relay(&relays[1]);
  free(relays);
  return wait_status;
}

static int report_end(const struct tsb_step *step, int wait_status) {
  const struct tsb_shared *shared = step->shared;
  if (shared->report.stage != TSB_STAGE_NONE)
    send_failure(STATUS_DESCRIPTOR, &shared->report);
  else if (shared->ended)
    send_exit(STATUS_DESCRIPTOR, shared->wait_status, &shared->usage);
  else /* pid 1 was killed from outside, out of memory for one */
    send_exit(STATUS_DESCRIPTOR, wait_status, &shared->usage);
  return shared->report.stage == TSB_STAGE_NONE ? 0 : 125;
}

/* All signals are blocked: the parent takes them by descriptor, the child's pid 1 by
 * sigwaitinfo(2). */
static int block_signals(void) {
  sigset_t all;
  sigset_t handled;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  sigemptyset(&handled);
  const int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR2};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    sigaddset(&handled, wanted[i]);
  return signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
}

int run_step(char **argv) {
  struct tsb_step step = {.argv = argv, .host_sys = -1};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  TSB_FD signals = block_signals();
  step.shared =
      mmap(NULL, sizeof *step.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (signals < 0 || step.shared == MAP_FAILED)
    return 125;
  fcntl(SPEC_DESCRIPTOR, F_SETFD, FD_CLOEXEC);
  fcntl(STATUS_DESCRIPTOR, F_SETFD, FD_CLOEXEC);
  int wait_status = -1;
  if (read_spec(SPEC_DESCRIPTOR, &step.spec, &step.shared->report) == 0)
    wait_status = run_to_end(&step, signals);
  int status = report_end(&step, wait_status);
  if (step.spec.scratch != NULL)
    remove_work(step.spec.scratch);
  return status;
}
