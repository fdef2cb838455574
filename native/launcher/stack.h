/* Overlays: layers under a writable directory or alone, stacked inside the step's own namespaces.
 */
#ifndef TSB_STACK_H
#define TSB_STACK_H

#include "step.h"

/* The child's private tmpfs with everything that overlays are made of; it goes away with the old
 * root. */
struct tsb_bench {
  int dir;
};

/* Attaches a private tmpfs to this namespace. Returns 0 or -1. */
int open_bench(struct tsb_bench *bench, struct tsb_report *report);

/* Attaches a detached mount to the bench, at a path whose parents are there. Returns 0 or -1. */
int attach(const struct tsb_bench *bench, int mount, const char *name, struct tsb_report *report);

/* A new tmpfs for directories of ours. Returns its descriptor or -1. */
int mount_tmpfs(struct tsb_report *report);

/* Attaches the layers of the stack `number`, and its scratch directory, beneath the directory
 * `number`. Returns 0 or -1. */
int attach_stack(struct tsb_step *step, const struct tsb_bench *bench, size_t number);

enum tsb_skeletons { TSB_BOTTOM, TSB_BOTTOM_AND_TOP };

/* Mounts the stack as an overlay between the directories "bottom" and, if there is one, "top"
 * beside its layers. Returns its descriptor or -1. */
int mount_stack(struct tsb_step *step, size_t number, enum tsb_skeletons skeletons);

#endif
