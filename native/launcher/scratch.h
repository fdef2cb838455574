/* The step's writable directory: `upper` is the result, `work` belongs to the overlay and goes away
 * afterwards. */
#ifndef TSB_SCRATCH_H
#define TSB_SCRATCH_H

#include <sys/stat.h>

#include "report.h"

struct tsb_scratch {
  int dir;   /* -1 before */
  int mount; /* detached mount of the same */
};

/* Creates `upper` in `directory` with the attributes of `like`, the root of the topmost layer
 * (NULL: none), and `work`. Returns 0 or -1. */
int open_scratch(const char *directory, const struct stat *like, struct tsb_scratch *scratch,
                 struct tsb_report *report);

/* Empties the work directory that an unmounted overlay left. Returns 0 or -1 with errno. */
int renew_work(int directory, const char *work);

/* Removes `work`. What can't be removed is left to the store's garbage collection. */
void remove_work(const struct tsb_scratch *scratch);

#endif
