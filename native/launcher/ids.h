/* Which ids a step's user namespace has. */
#ifndef TSB_IDS_H
#define TSB_IDS_H

#include <stdbool.h>
#include <sys/types.h>

#include "report.h"

struct tsb_ids {
  /* True where the launcher sees the host's own ids: the step gets a range of its own, and its
   * mounts are idmapped. False inside a user namespace: the step has the same ids as that, and
   * nothing needs to be mapped. */
  bool shifted;
  uid_t base; /* first id of the range when shifted */
};

/* Decides the ids of the step that this process is about to start. Returns 0 or -1. */
int choose_ids(struct tsb_ids *ids, struct tsb_report *report);

/* Writes the maps of `child`. Returns 0 or -1. */
int write_maps(const struct tsb_ids *ids, pid_t child, struct tsb_report *report);

/* Idmaps `mount` to the user namespace `userns`, so that what the step writes bears the image's own
 * ids on disk. */
int map_mount(int mount, int userns, const char *object, struct tsb_report *report);

/* map_mount() where whoever owns the root of `mount` is shown as root, and root as that owner. */
int map_mount_of_owner(int mount, const struct tsb_ids *ids, const char *object,
                       struct tsb_report *report);

#endif
