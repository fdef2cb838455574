#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A manager that no longer listens is about to die, and the launcher with it: nothing to do about
 * that. */
static void send(int descriptor, const char *fields, size_t length) {
  char record[PATH_MAX + 1024];
  if (length + 4 > sizeof record)
    return;
  for (int i = 0; i < 4; i++)
    record[i] = (char)(length >> (8 * i));
  memcpy(record + 4, fields, length);
  for (size_t sent = 0; sent < length + 4;) {
    ssize_t written = write(descriptor, record + sent, length + 4 - sent);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return;
    sent += (size_t)written;
  }
}

void send_ready(int descriptor) { send(descriptor, "ready", sizeof "ready"); }

static long long microseconds(struct timeval time) {
  return (long long)time.tv_sec * 1000000 + time.tv_usec;
}

void send_exit(int descriptor, int wait_status, const struct rusage *usage) {
  char fields[256];
  int length = snprintf(fields, sizeof fields, "exit%c%d%c%lld%c%lld%c%ld", 0, wait_status, 0,
                        microseconds(usage->ru_utime), 0, microseconds(usage->ru_stime), 0,
                        usage->ru_maxrss);
  send(descriptor, fields, (size_t)length + 1);
}

void send_failure(int descriptor, const struct tsb_report *report) {
  char fields[PATH_MAX + 700];
  int length =
      snprintf(fields, sizeof fields, "failure%c%s%c%d%c%s%c%s", 0, stage_name(report->stage), 0,
               report->error, 0, report->object, 0, report->detail);
  send(descriptor, fields, (size_t)length + 1);
}
