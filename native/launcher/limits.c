#include "limits.h"

#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  int resource;
} resources[] = {
    {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

int find_resource(const char *name) {
  for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
    if (strcmp(resources[i].name, name) == 0)
      return resources[i].resource;
  return -1;
}

static const char *limit_text(rlim_t limit, char text[24]) {
  snprintf(text, 24, "%llu", (unsigned long long)limit);
  return limit == RLIM_INFINITY ? "unlimited" : text;
}

static int refused(const struct tsb_limit *limit, rlim_t hard, struct tsb_report *report) {
  char wanted[24];
  char most[24];
  char object[128];
  snprintf(object, sizeof object, "%s=%s (its hard limit is %s)", limit->name,
           limit_text(limit->value.rlim_max, wanted), limit_text(hard, most));
  return failed(report, TSB_STAGE_LIMIT, object);
}

int allow_limits(const struct tsb_spec *spec, pid_t child, struct tsb_report *report) {
  for (size_t i = 0; i < spec->limit_count; i++) {
    const struct tsb_limit *limit = &spec->limits[i];
    struct rlimit value;
    if (prlimit(child, (enum __rlimit_resource)limit->resource, NULL, &value) < 0)
      return failed(report, TSB_STAGE_LIMIT, limit->name);
    const rlim_t hard = value.rlim_max;
    if (limit->value.rlim_max <= hard)
      continue;
    /* Not the soft one: this process still has to build the root. */
    value.rlim_max = limit->value.rlim_max;
    if (prlimit(child, (enum __rlimit_resource)limit->resource, &value, NULL) < 0)
      return refused(limit, hard, report);
  }
  return 0;
}

static bool is_asked_for(const struct tsb_spec *spec, int resource) {
  for (size_t i = 0; i < spec->limit_count; i++)
    if (spec->limits[i].resource == resource)
      return true;
  return false;
}

/* Limits are the host's to give: what can't be set stays as it is. */
void set_common_limits(const struct tsb_spec *spec) {
  const rlim_t most_files = 1048576;
  struct rlimit files;
  const struct rlimit none = {0, 0};
  if (!is_asked_for(spec, RLIMIT_CORE))
    setrlimit(RLIMIT_CORE, &none);
  if (is_asked_for(spec, RLIMIT_NOFILE) || getrlimit(RLIMIT_NOFILE, &files) < 0)
    return;
  if (files.rlim_max > most_files)
    files.rlim_max = most_files;
  files.rlim_cur = files.rlim_max < 1024 ? files.rlim_max : 1024;
  setrlimit(RLIMIT_NOFILE, &files);
}

int set_limits(const struct tsb_spec *spec, struct tsb_report *report) {
  for (size_t i = 0; i < spec->limit_count; i++) {
    const struct tsb_limit *limit = &spec->limits[i];
    if (setrlimit((enum __rlimit_resource)limit->resource, &limit->value) < 0)
      return failed(report, TSB_STAGE_LIMIT, limit->name);
  }
  return 0;
}
