/* The step's root: the layers under a writable directory, stacked inside the step's own namespaces.
 */
#ifndef TSB_OVERLAY_H
#define TSB_OVERLAY_H

#include "step.h"

/* The child's private tmpfs with everything the overlay is made of; it goes away with the old root.
 */
struct tsb_bench {
  int dir;
};

/* Attaches a private tmpfs to this namespace. Returns 0 or -1. */
int open_bench(struct tsb_bench *bench, struct tsb_report *report);

/* Mounts the overlay so that every mount point that the step needs exists in it, without creating
 * any in the writable directory. Returns its descriptor, attached at `root` on the bench, or -1. */
int mount_root(struct tsb_step *step, const struct tsb_bench *bench);

#endif
