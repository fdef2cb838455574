/* /proc, /sys and /dev of a step. All three are made before the old root is left: the kernel lets a
 * user namespace mount proc and sysfs only where it can see one already. */
#ifndef TSB_DEVICES_H
#define TSB_DEVICES_H

#include "stack.h"
#include "step.h"

/* Mounts /proc, /sys and /dev beneath `root`. Returns 0 or -1. */
int mount_kernel_filesystems(struct tsb_step *step, int root);

/* Hides what tells about or steers the host. Call it when all else is mounted. Returns 0 or -1. */
int mask_kernel_paths(const struct tsb_bench *bench, int root, struct tsb_report *report);

#endif
