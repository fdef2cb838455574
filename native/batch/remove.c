/* remove: directories with everything in them. No symlink is followed, no mount point entered;
 * directories that lack permissions get them, where we are their owner. What is missing is fine.
 *
 *   request  flags (0), u32 count, string path each
 *   reply    nothing */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "failure.h"
#include "open-beneath.h"
#include "tree.h"

struct removal {
  struct tree tree;
  struct batch_out names; /* of the directory being emptied */
  const char *path;       /* as requested */
  struct batch_failure *failure;
};

static int remove_path(struct removal *removal);

static void removal_free(struct removal *removal) {
  tree_free(&removal->tree);
  out_free(&removal->names);
}

int batch_remove(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  (void)out;
  in_u32(in);
  uint32_t count = in_u32(in);
  for (uint32_t i = 0; i < count; i++) {
    const char *path = in_string(in, NULL);
    if (in->bad)
      break;
    CLEANUP(removal_free) struct removal removal = {.path = path, .failure = failure};
    if (remove_path(&removal) < 0)
      return -1;
  }
  return in->bad ? batch_bad_request(failure, "remove") : 0;
}

static int failed(struct removal *removal, const char *name) {
  int error = errno;
  struct batch_out object = {0};
  out_bytes(&object, removal->path, strlen(removal->path));
  if (removal->tree.path.length)
    out_bytes(&object, "/", 1);
  out_bytes(&object, removal->tree.path.data, removal->tree.path.length);
  if (*name)
    out_bytes(&object, "/", 1);
  out_bytes(&object, name, strlen(name) + 1);
  batch_failed_as(removal->failure, BATCH_REMOVE, error,
                  object.full ? removal->path : (const char *)object.data);
  out_free(&object);
  return -1;
}

/* Lets us into directory `name` of `dir`, which must be ours. Through a descriptor, so that what is
 * changed is the directory and not what a symlink put in its place points at. */
static int make_accessible(int dir, const char *name) {
  OWNED_FD fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return -1;
  char proc[32];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  return chmod(proc, 0700);
}

/* unlinkat, once more with write permission on `dir`. */
static int unlink_entry(int dir, const char *name, int flags) {
  if (unlinkat(dir, name, flags) == 0 || errno == ENOENT)
    return 0;
  int error = errno;
  if (error == EACCES && fchmod(dir, 0700) == 0 &&
      (unlinkat(dir, name, flags) == 0 || errno == ENOENT))
    return 0;
  errno = error;
  return -1;
}

/* Removes all but the directories of the current directory, and remembers those. */
static int remove_files(struct removal *removal) {
  int dir = tree_fd(&removal->tree);
  removal->names.length = 0;
  if (read_names(dir, &removal->names) < 0)
    return errno == ENOENT ? 0 : failed(removal, ""); /* somebody else removed it just now */
  const uint8_t *at = removal->names.data, *end = at + removal->names.length;
  while (at < end) {
    uint8_t type = *at;
    const char *name = (const char *)at + 1;
    at += strlen(name) + 2;
    if (type == DT_DIR) {
      tree_push_name(&removal->tree, name);
      continue;
    }
    if (unlink_entry(dir, name, 0) == 0)
      continue;
    if (errno != EISDIR)
      return failed(removal, name); /* a filesystem without types in names */
    tree_push_name(&removal->tree, name);
  }
  return removal->tree.pending.full ? batch_no_memory(removal->failure) : 0;
}

static int enter(struct removal *removal, const char *name) {
  if (tree_enter(&removal->tree, name, RESOLVE_NO_XDEV) == 0)
    return 0;
  if (errno == EACCES && make_accessible(tree_fd(&removal->tree), name) == 0 &&
      tree_enter(&removal->tree, name, RESOLVE_NO_XDEV) == 0)
    return 0;
  return -1;
}

/* Leaves the empty directory and removes it. Its name is copied: leaving cuts the path. */
static int leave(struct removal *removal) {
  struct tree *tree = &removal->tree;
  size_t start = tree->path.length;
  while (start && tree->path.data[start - 1] != '/')
    start--;
  char name[NAME_MAX + 1];
  size_t length = tree->path.length - start;
  if (length)
    memcpy(name, tree->path.data + start, length);
  name[length] = 0;
  if (tree_leave(tree) < 0)
    return failed(removal, "");
  if (tree->depth && unlink_entry(tree_fd(tree), name, AT_REMOVEDIR) < 0)
    return failed(removal, name);
  return 0;
}

static int empty_tree(struct removal *removal) {
  if (remove_files(removal) < 0)
    return -1;
  while (removal->tree.depth) {
    const char *name = tree_next(&removal->tree);
    if (!name) {
      if (leave(removal) < 0)
        return -1;
    } else if (enter(removal, name) == 0) {
      if (remove_files(removal) < 0)
        return -1;
    } else if (errno != ENOENT) {
      return failed(removal, name);
    }
  }
  return 0;
}

static int remove_path(struct removal *removal) {
  const char *path = removal->path;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == EACCES && make_accessible(AT_FDCWD, path) == 0)
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT)
    return 0;
  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
    return unlink(path) < 0 && errno != ENOENT ? failed(removal, "") : 0;
  if (fd < 0 || tree_start(&removal->tree, fd) < 0)
    return failed(removal, "");
  if (empty_tree(removal) < 0)
    return -1;
  return rmdir(path) < 0 && errno != ENOENT ? failed(removal, "") : 0;
}
