/* The step's own mounts: binds, tmpfs and files from memory. */
#ifndef TSB_MOUNTS_H
#define TSB_MOUNTS_H

#include "stack.h"

/* The parent: opens the sources of all binds and sockets as detached mounts. Returns 0 or -1. */
int open_sources(struct tsb_spec *spec, struct tsb_report *report);

/* The child: attaches all mounts beneath `root`, in order. Returns 0 or -1. */
int attach_mounts(struct tsb_step *step, const struct tsb_bench *bench, int root);

#endif
