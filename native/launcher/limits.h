/* Resource limits of a step, by the names that people know them under. */
#ifndef TSB_LIMITS_H
#define TSB_LIMITS_H

#include "report.h"
#include "spec.h"

/* RLIMIT_* of 'nofile' and the like, -1 for a name that is none. */
int find_resource(const char *name);

/* The parent: gives `child`, which waits, the right to set limits above this process's own hard
 * ones, where the kernel lets it. Returns 0 or -1. */
int allow_limits(const struct tsb_spec *spec, pid_t child, struct tsb_report *report);

/* The program: what every step has in place of the caller's limits, but for those that it asks for.
 */
void set_common_limits(const struct tsb_spec *spec);

/* The program: the limits asked for. Returns 0 or -1. */
int set_limits(const struct tsb_spec *spec, struct tsb_report *report);

#endif
