#include "filesystem.h"

#include <errno.h>

#include "cleanup.h"
#include "kernel.h"

int mount_filesystem(const char *type, const char *source, const struct tsb_option *options,
                     unsigned attributes, enum tsb_stage stage, struct tsb_report *report) {
  TSB_FD fs = sys_fsopen(type);
  if (fs < 0)
    return failed(report, stage, type);
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source) < 0)
    return failed_mounting(report, stage, fs, source);
  for (const struct tsb_option *option = options; option->key != NULL; option++) {
    unsigned command = option->value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
    if (sys_fsconfig(fs, command, option->key, option->value) < 0)
      return failed_mounting(report, stage, fs, option->value ? option->value : option->key);
  }
  if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return failed_mounting(report, stage, fs, source);
  int mount = sys_fsmount(fs, attributes);
  if (mount < 0)
    return failed_mounting(report, stage, fs, source);
  return mount;
}

int mount_layer(const struct tsb_layer *layer, struct tsb_report *report) {
  /* Device nodes and setuid bits of a layer count in the step's overlay only, never through this
   * mount. */
  const unsigned attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  if (layer->tar != NULL) {
    const struct tsb_option options[] = {{"device", layer->tar}, {"ro", NULL}, {NULL, NULL}};
    return mount_filesystem("erofs", layer->path, options, attributes, TSB_STAGE_LAYER, report);
  }
  TSB_FD directory = open(layer->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0)
    return failed(report, TSB_STAGE_LAYER, layer->path);
  int mount = clone_mount(directory, TSB_STAGE_LAYER, layer->path, report);
  if (mount < 0)
    return -1;
  if (restrict_mount(mount, attributes, TSB_STAGE_LAYER, layer->path, report) < 0) {
    close(mount);
    return -1;
  }
  return mount;
}

int clone_mount(int directory, enum tsb_stage stage, const char *object,
                struct tsb_report *report) {
  int mount = sys_open_tree(directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
  /* Inside a user namespace, mounts beneath are locked to it: then all or none can be cloned. */
  if (mount < 0 && errno == EINVAL)
    mount = sys_open_tree(directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
  if (mount < 0)
    return failed(report, stage, object);
  return mount;
}

int restrict_mount(int mount, unsigned attributes, enum tsb_stage stage, const char *object,
                   struct tsb_report *report) {
  struct mount_attr change = {.attr_set = attributes};
  if (sys_mount_setattr(mount, AT_RECURSIVE, &change) < 0)
    return failed(report, stage, object);
  return 0;
}
