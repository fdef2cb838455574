/* A way through a directory tree, depth first, that holds few descriptors however deep it goes:
 * of the directories above, only the nearest stay open; others are found again through ".." and
 * known by device and inode, so that a tree that is moved meanwhile is noticed, not followed. */
#ifndef TSB_BATCH_TREE_H
#define TSB_BATCH_TREE_H

#include <sys/types.h>

#include "bytes.h"

struct tree_level {
  int fd; /* -1: closed to save descriptors */
  dev_t dev;
  ino_t ino;
  size_t path_length; /* of this directory */
  size_t pending;     /* where its names begin in tree.pending */
};

struct tree {
  struct tree_level *levels;
  size_t depth, room;
  size_t closed;            /* levels below this number are closed */
  struct batch_out path;    /* of the deepest directory, relative to the first; no NUL */
  struct batch_out pending; /* names of directories still to enter, NUL-terminated, a stack */
};

void tree_free(struct tree *tree);
/* Begins at directory `fd`, which the tree owns from now on, also on failure. -1 and errno. */
int tree_start(struct tree *tree, int fd);
/* Enters `name` of the current directory; `resolve` is added to what openat2 must refuse. */
int tree_enter(struct tree *tree, const char *name, uint64_t resolve);
/* Back to the directory above. -1 and errno ESTALE if that is not where we came from. */
int tree_leave(struct tree *tree);
int tree_fd(const struct tree *tree);
/* Remembers a directory of the current one for tree_next. */
void tree_push_name(struct tree *tree, const char *name);
/* A name remembered in the current directory, valid until the next push; NULL if none is left. */
const char *tree_next(struct tree *tree);

/* All entries of directory `fd` but "." and "..": byte d_type, name, NUL each. -1 and errno. */
int read_names(int fd, struct batch_out *names);

#endif
