/* How a launcher says what went wrong: the stage, errno and the object, nothing worded for people.
 */
#ifndef TSB_REPORT_H
#define TSB_REPORT_H

#include <limits.h>
#include <stddef.h>

/* Order and names are shared with launch-failure.ts through stage_name(). */
enum tsb_stage {
  TSB_STAGE_NONE,
  TSB_STAGE_SPEC,
  TSB_STAGE_USERNS,
  TSB_STAGE_LAYER,
  TSB_STAGE_SCRATCH,
  TSB_STAGE_BIND,
  TSB_STAGE_NAMESPACE,
  TSB_STAGE_IDS,
  TSB_STAGE_CGROUP,
  TSB_STAGE_IDMAP,
  TSB_STAGE_OVERLAY,
  TSB_STAGE_TARGET,
  TSB_STAGE_PROC,
  TSB_STAGE_SYS,
  TSB_STAGE_DEV,
  TSB_STAGE_MOUNT,
  TSB_STAGE_ROOT,
  TSB_STAGE_NETWORK,
  TSB_STAGE_HOSTNAME,
  TSB_STAGE_INIT,
  TSB_STAGE_WORKDIR,
  TSB_STAGE_CREDENTIALS,
  TSB_STAGE_LIMIT,
  TSB_STAGE_SECCOMP,
  TSB_STAGE_EXEC,
  TSB_STAGE_COUNT,
};

struct tsb_report {
  enum tsb_stage stage;
  int error;
  char object[PATH_MAX];
  /* What the kernel itself said (the log of a file system context), or empty. */
  char detail[512];
};

/* Fills *report with errno and returns -1; an earlier failure is kept, being nearer to the cause.
 */
int failed(struct tsb_report *report, enum tsb_stage stage, const char *object);

/* The same with an error number instead of errno. */
int failed_with(struct tsb_report *report, enum tsb_stage stage, int error, const char *object);

/* failed(), with the kernel's messages read from the file system context `fs`. */
int failed_mounting(struct tsb_report *report, enum tsb_stage stage, int fs, const char *object);

const char *stage_name(enum tsb_stage stage);

#endif
