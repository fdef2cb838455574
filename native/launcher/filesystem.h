/* Detached mounts: made here, attached by whoever owns the place. */
#ifndef TSB_FILESYSTEM_H
#define TSB_FILESYSTEM_H

#include "report.h"
#include "spec.h"

struct tsb_option {
  const char *key;
  const char *value; /* NULL: a flag */
};

/* A new instance of `type`; `source` is what `mount` shows, or a file. Options end with a NULL key.
 * Returns its descriptor or -1. */
int mount_filesystem(const char *type, const char *source, const struct tsb_option *options,
                     unsigned attributes, enum tsb_stage stage, struct tsb_report *report);

/* A layer, read-only. Returns its descriptor or -1. */
int mount_layer(const struct tsb_layer *layer, struct tsb_report *report);

/* A copy of the mount at `directory` (an O_PATH descriptor), without what is mounted beneath it
 * where the kernel allows that. Returns its descriptor or -1. */
int clone_mount(int directory, enum tsb_stage stage, const char *object, struct tsb_report *report);

/* Sets MOUNT_ATTR_* bits. Returns 0 or -1. */
int restrict_mount(int mount, unsigned attributes, enum tsb_stage stage, const char *object,
                   struct tsb_report *report);

#endif
