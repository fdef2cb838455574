/* The step to run, as the manager describes it over a descriptor. */
#ifndef TSB_SPEC_H
#define TSB_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "report.h"

/* OverlayFS stacks 500 directories; two of them may be skeletons (root.c). */
#define TSB_MAX_LAYERS 498
#define TSB_MAX_STACKS 256
#define TSB_MAX_HIDDEN 1000000
#define TSB_MAX_MOUNTS 1024
#define TSB_MAX_SPEC_BYTES (64u << 20)

struct tsb_layer {
  /* Directory of a tree, or the EROFS index. */
  const char *path;
  /* The tar that holds an index's contents; NULL for a tree. */
  const char *tar;
  bool owner_is_root; /* whoever owns a tree is shown as root */
  /* The keeper's descriptor that holds it mounted, or -1. */
  int kept;
};

/* Layers that show one tree together. */
struct tsb_stack {
  struct tsb_layer *layers; /* base first */
  size_t layer_count;
  const char **hidden; /* paths that are not shown; only where there is one layer */
  size_t hidden_count;
  const char *scratch; /* directory that takes what is written, or NULL */
};

enum tsb_mount_kind {
  TSB_MOUNT_BIND,
  TSB_MOUNT_STACK,
  TSB_MOUNT_SOCKET,
  TSB_MOUNT_TMPFS,
  TSB_MOUNT_BYTES,
};

struct tsb_mount {
  enum tsb_mount_kind kind;
  const char *target; /* absolute, without "." and ".." */
  bool is_file;       /* found out when the source is opened */
  int source;         /* detached mount; -1 before. Of a bind or socket the parent opens it */
  /* bind and stack: beneath this directory, in this stack */
  const char *root;
  size_t stack;
  const char *path;   /* of a socket: in the host */
  bool readonly;      /* of a tmpfs, too */
  bool owner_is_root; /* as of a layer */
  /* tmpfs: 0 is the kernel's default */
  uint64_t size_bytes;
  /* bytes and socket */
  const char *bytes;
  size_t byte_count;
  mode_t mode;
  uid_t uid;
  gid_t gid;
};

struct tsb_limit {
  const char *name;
  int resource; /* RLIMIT_* */
  struct rlimit value;
};

struct tsb_spec {
  struct tsb_stack *stacks; /* the first one is the root's */
  size_t stack_count;
  struct tsb_mount *mounts;
  size_t mount_count;
  const char **args; /* NULL at the end, as env */
  size_t arg_count;
  const char **env;
  size_t env_count;
  const char **cgroups;
  size_t cgroup_count;
  gid_t *groups;
  size_t group_count;
  struct tsb_limit *limits;
  size_t limit_count;
  /* Of all stacks, one after the other. */
  struct tsb_layer *layers;
  const char **hidden;
  pid_t keeper; /* the process that holds mounted indexes, or 0 */
  const char *cwd;
  const char *hostname;
  uid_t uid;
  gid_t gid;
  bool host_network;
  bool unconfined; /* all capabilities, no filter, nothing masked */
  uint64_t shm_bytes;
};

/* Reads one specification from `descriptor`, which stays open: its end says that the manager died.
 * Everything the spec points at lives until the process ends. Returns 0, or -1 with *report filled.
 */
int read_spec(int descriptor, struct tsb_spec *spec, struct tsb_report *report);

#endif
