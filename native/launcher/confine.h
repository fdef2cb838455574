/* What takes the step's first process its power over the host. */
#ifndef TSB_CONFINE_H
#define TSB_CONFINE_H

#include "report.h"
#include "spec.h"

/* All that needs neither the step's root nor its user: limits, session, keys, groups, bounding set
 * and system call filter. Returns 0 or -1. */
int confine_process(const struct tsb_spec *spec, struct tsb_report *report);

/* Becomes the step's user, with the capabilities that it has. Returns 0 or -1. */
int become_user(const struct tsb_spec *spec, struct tsb_report *report);

#endif
