#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "step.h"

static bool reap_all(struct tsb_step *step, pid_t program) {
  int status;
  for (;;) {
    pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended < 0 && errno == EINTR)
      continue;
    if (ended <= 0)
      return false;
    if (ended != program)
      continue;
    step->shared->wait_status = status;
    getrusage(RUSAGE_CHILDREN, &step->shared->usage);
    step->shared->ended = 1;
    return true;
  }
}

/* To the program's whole group; in its first moments it has none of its own yet. */
static void forward(pid_t program, int signal) {
  if (kill(-program, signal) < 0 && errno == ESRCH)
    kill(program, signal);
}

void reap_until_end(struct tsb_step *step, pid_t program) {
  sigset_t all;
  /* The streams belong to the program alone: when it and its children are gone, readers see the
   * end. */
  sys_close_range(0, ~0u, 0);
  sigfillset(&all);
  for (;;) {
    /* Signals are blocked since before the fork: as pid 1 without handlers we would lose them
     * otherwise. */
    int signal = sigwaitinfo(&all, NULL);
    if (signal == SIGCHLD && reap_all(step, program))
      break;
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT)
      forward(program, signal);
  }
  /* The kernel kills whatever is left in the namespace and waits for it. */
  _exit(0);
}
