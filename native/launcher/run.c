#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "kernel.h"
#include "relay.h"
#include "scratch.h"
#include "status.h"
#include "step.h"

#define SPEC_DESCRIPTOR 3
#define STATUS_DESCRIPTOR 4

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
  for (size_t i = 0; step.materials != NULL && i < step.spec.stack_count; i++)
    remove_work(&step.materials[i].scratch);
  return report_end(&step, wait_status);
}
