#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "confine.h"
#include "kernel.h"
#include "limits.h"
#include "step.h"

/* Waits for pid 1 to enter the root, and makes sure that this process was taken along:
 * pivot_root(2) moves every process of the namespace whose root was the old one. */
static int await_root(int ready, struct tsb_report *report) {
  struct tsb_root_id expected;
  struct stat root;
  ssize_t got;
  do
    got = read(ready, &expected, sizeof expected);
  while (got < 0 && errno == EINTR);
  if (got != sizeof expected) /* pid 1 failed, and said why */
    return failed_with(report, TSB_STAGE_ROOT, EPIPE, "pid 1");
  if (stat("/", &root) < 0)
    return failed(report, TSB_STAGE_ROOT, "/");
  if (root.st_dev != expected.device || root.st_ino != expected.inode)
    return failed_with(report, TSB_STAGE_ROOT, EXDEV, "/");
  return 0;
}

/* The working directory is the image's word: it is opened beneath the root, past no magic link
 * (/proc/self/fd/N), and must be reachable from it. */
static int enter_workdir(const char *cwd, struct tsb_report *report) {
  char where[PATH_MAX];
  TSB_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return failed(report, TSB_STAGE_WORKDIR, "/");
  TSB_FD directory =
      sys_openat2(root, cwd, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (directory < 0 || fchdir(directory) < 0)
    return failed(report, TSB_STAGE_WORKDIR, cwd);
  long length = syscall(SYS_getcwd, where, sizeof where);
  if (length < 0)
    return failed(report, TSB_STAGE_WORKDIR, cwd);
  if (where[0] != '/')
    return failed_with(report, TSB_STAGE_WORKDIR, EXDEV, cwd);
  return 0;
}

static void restore_signals(void) {
  const struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t none;
  for (int signal = 1; signal < NSIG; signal++)
    sigaction(signal, &standard, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *search_path(const struct tsb_spec *spec) {
  for (size_t i = 0; i < spec->env_count; i++)
    if (strncmp(spec->env[i], "PATH=", 5) == 0)
      return spec->env[i] + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* execve(2) along PATH as execvp(3) does, but with the step's PATH and without handing
 * a file of unknown format to a shell. Returns with errno set. */
static void execute(const struct tsb_spec *spec) {
  const char *name = spec->args[0];
  char **args = (char **)spec->args;
  char **env = (char **)spec->env;
  if (strchr(name, '/') != NULL || name[0] == '\0') {
    execve(name, args, env);
    return;
  }
  int refusal = ENOENT;
  char path[PATH_MAX];
  for (const char *at = search_path(spec);; at++) {
    int length = (int)strcspn(at, ":");
    int written =
        snprintf(path, sizeof path, "%.*s%s%s", length, at, length > 0 ? "/" : "./", name);
    if (written > 0 && (size_t)written < sizeof path)
      execve(path, args, env);
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
      return;
    if (errno == EACCES)
      refusal = EACCES;
    at += length;
    if (*at == '\0')
      break;
  }
  errno = refusal;
}

/* Confines itself while pid 1 still builds the root: on two cores the filter costs no time. */
void become_program(struct tsb_step *step, int ready) {
  struct tsb_spec *spec = &step->spec;
  struct tsb_report *report = &step->shared->report;
  if (confine_process(spec, report) == 0 && await_root(ready, report) == 0 &&
      enter_workdir(spec->cwd, report) == 0 && become_user(spec, report) == 0 &&
      set_limits(spec, report) == 0) {
    restore_signals();
    execute(spec);
    failed(report, TSB_STAGE_EXEC, spec->args[0]);
  }
  _exit(127);
}
