#include "seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp-filter.h"

static int install(const struct sock_filter *instructions, unsigned short count) {
  struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)instructions};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int install_seccomp(struct tsb_report *report) {
  /* The second one refuses by arguments; of two answers the kernel takes the stricter. */
  if (install(seccomp_calls, sizeof seccomp_calls / sizeof *seccomp_calls) < 0)
    return failed(report, TSB_STAGE_SECCOMP, "calls");
  if (install(seccomp_arguments, sizeof seccomp_arguments / sizeof *seccomp_arguments) < 0)
    return failed(report, TSB_STAGE_SECCOMP, "arguments");
  return 0;
}
