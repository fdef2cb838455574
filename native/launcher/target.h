/* Where mounts go: paths of the image resolved beneath a root that the image's author laid out. */
#ifndef TSB_TARGET_H
#define TSB_TARGET_H

#include <limits.h>
#include <stdbool.h>

#include "report.h"

struct tsb_place {
  /* Relative to the root and free of symlinks, except for components that do not exist yet. */
  char path[PATH_MAX];
  bool exists;
};

/* Follows symlinks of `path` inside `root`, also dangling ones. Returns 0 or -1. */
int resolve_place(int root, const char *path, struct tsb_place *place, struct tsb_report *report);

/* Creates what is missing of `path` beneath `root`: directories, and at the end a file if
 * `is_file`. Follows no symlink. Returns 0 or -1. */
int make_place(int root, const char *path, bool is_file, struct tsb_report *report);

/* make_place() where each parent directory that exists beneath `model` gets its mode, owner and
 * time. Returns 0 or -1. */
int make_place_like(int model, int root, const char *path, bool is_file, struct tsb_report *report);

/* Makes a whiteout of `path` beneath `root`: an overlay with `root` on top doesn't show what
 * `model` has there. Its directories, which exist in `model`, get their mode, owner and time.
 * Returns 0 or -1. */
int hide_place(int model, int root, const char *path, struct tsb_report *report);

/* Gives the directory `made` what `model`/`path` has. Returns 0 or -1 with errno. */
int copy_attributes(int model, const char *path, int made);

#endif
