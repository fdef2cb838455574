/* The step's root: its layers under the directory that takes what it writes. */
#ifndef TSB_ROOT_H
#define TSB_ROOT_H

#include "stack.h"

/* Mounts the overlay so that every mount point that the step needs exists in it, without creating
 * any in the writable directory. Returns its descriptor, attached on the bench, or -1. */
int mount_root(struct tsb_step *step, const struct tsb_bench *bench);

#endif
