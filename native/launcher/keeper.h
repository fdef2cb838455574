/* Mounting an index costs a fifth of a millisecond, and the same again unmounting it: too much for
 * each layer of each step. A keeper is a process that holds indexes mounted, attached nowhere,
 * while its manager lives; launchers take clones. Needs a kernel that clones detached mounts
 * (6.15); on others it says so and every launcher mounts for itself. */
#ifndef TSB_KEEPER_H
#define TSB_KEEPER_H

#include "report.h"
#include "spec.h"

/* keep: writes "ready", then answers each request on stdin ("INDEX\0TAR\0") with a line: the number
 * of the descriptor that holds the mount, or -1. Stays until stdin ends. Returns the exit status.
 */
int keep_mounts(void);

/* The layer as a detached mount: a clone of the one that process `keeper` (a pidfd, -1: none)
 * holds, else its own. Returns its descriptor or -1. */
int take_layer(const struct tsb_layer *layer, int keeper, struct tsb_report *report);

#endif
