/* Parts of other trees that a step sees: of the stacks beside its root. */
#ifndef TSB_PARTS_H
#define TSB_PARTS_H

#include "stack.h"

/* The child: mounts every stack but the root's, and opens what mounts show of it. Returns 0 or -1.
 */
int open_parts(struct tsb_step *step, const struct tsb_bench *bench);

#endif
