#include "report.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int failed(struct tsb_report *report, enum tsb_stage stage, const char *object) {
  return failed_with(report, stage, errno, object);
}

int failed_with(struct tsb_report *report, enum tsb_stage stage, int error, const char *object) {
  if (report->stage != TSB_STAGE_NONE)
    return -1;
  report->error = error;
  snprintf(report->object, sizeof report->object, "%s", object);
  report->stage = stage;
  return -1;
}

/* Reads one message, without its level ("e ") and newline. Returns false at the end. */
static bool read_message(int fs, char *message, size_t size) {
  ssize_t length = read(fs, message, size - 1);
  if (length <= 0)
    return false;
  if (message[length - 1] == '\n')
    length--;
  message[length] = '\0';
  if (length > 2 && message[1] == ' ')
    memmove(message, message + 2, (size_t)length - 1);
  return true;
}

int failed_mounting(struct tsb_report *report, enum tsb_stage stage, int fs, const char *object) {
  int error = errno;
  char message[256];
  while (read_message(fs, message, sizeof message)) {
    size_t used = strlen(report->detail);
    snprintf(report->detail + used, sizeof report->detail - used, "%s%s", used > 0 ? "; " : "",
             message);
  }
  return failed_with(report, stage, error, object);
}

const char *stage_name(enum tsb_stage stage) {
  static const char *const names[TSB_STAGE_COUNT] = {
      [TSB_STAGE_NONE] = "NONE",
      [TSB_STAGE_SPEC] = "SPEC",
      [TSB_STAGE_USERNS] = "USERNS",
      [TSB_STAGE_LAYER] = "LAYER",
      [TSB_STAGE_SCRATCH] = "SCRATCH",
      [TSB_STAGE_BIND] = "BIND",
      [TSB_STAGE_NAMESPACE] = "NAMESPACE",
      [TSB_STAGE_IDS] = "IDS",
      [TSB_STAGE_CGROUP] = "CGROUP",
      [TSB_STAGE_IDMAP] = "IDMAP",
      [TSB_STAGE_OVERLAY] = "OVERLAY",
      [TSB_STAGE_TARGET] = "TARGET",
      [TSB_STAGE_PROC] = "PROC",
      [TSB_STAGE_SYS] = "SYS",
      [TSB_STAGE_DEV] = "DEV",
      [TSB_STAGE_MOUNT] = "MOUNT",
      [TSB_STAGE_ROOT] = "ROOT",
      [TSB_STAGE_NETWORK] = "NETWORK",
      [TSB_STAGE_HOSTNAME] = "HOSTNAME",
      [TSB_STAGE_INIT] = "INIT",
      [TSB_STAGE_WORKDIR] = "WORKDIR",
      [TSB_STAGE_CREDENTIALS] = "CREDENTIALS",
      [TSB_STAGE_LIMIT] = "LIMIT",
      [TSB_STAGE_SECCOMP] = "SECCOMP",
      [TSB_STAGE_EXEC] = "EXEC",
  };
  return stage < TSB_STAGE_COUNT ? names[stage] : "UNKNOWN";
}
