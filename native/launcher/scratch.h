/* The step's writable directory: `upper` is the result, `work` belongs to the overlay and goes away
 * afterwards. */
#ifndef TSB_SCRATCH_H
#define TSB_SCRATCH_H

#include "report.h"

/* Creates `upper` with the attributes of `like`, the root of the topmost layer (-1: none), and
 * `work`. Returns a detached mount of the directory or -1. */
int open_scratch(const char *directory, int like, struct tsb_report *report);

/* Empties the work directory that an unmounted overlay left. Returns 0 or -1 with errno. */
int renew_work(int directory, const char *work);

/* Removes `directory`/work. What can't be removed is left to the store's garbage collection. */
void remove_work(const char *directory);

#endif
