#include "tree.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "open-beneath.h"

#define OPEN_LEVELS 64

void tree_free(struct tree *tree) {
  for (size_t i = tree->closed; i < tree->depth; i++)
    close(tree->levels[i].fd);
  free(tree->levels);
  out_free(&tree->path);
  out_free(&tree->pending);
}

static int push_level(struct tree *tree, int fd) {
  if (tree->depth == tree->room) {
    size_t room = tree->room ? tree->room * 2 : 32;
    struct tree_level *levels = realloc(tree->levels, room * sizeof *levels);
    if (!levels)
      return -1;
    tree->levels = levels;
    tree->room = room;
  }
  struct stat st;
  if (fstat(fd, &st) < 0)
    return -1;
  tree->levels[tree->depth++] = (struct tree_level){
      .fd = fd,
      .dev = st.st_dev,
      .ino = st.st_ino,
      .path_length = tree->path.length,
      .pending = tree->pending.length,
  };
  if (tree->depth - tree->closed > OPEN_LEVELS) {
    struct tree_level *level = &tree->levels[tree->closed++];
    close(level->fd);
    level->fd = -1;
  }
  return 0;
}

int tree_start(struct tree *tree, int fd) {
  if (push_level(tree, fd) == 0)
    return 0;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int tree_enter(struct tree *tree, const char *name, uint64_t resolve) {
  int fd = open_beneath(tree_fd(tree), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | resolve);
  if (fd < 0)
    return -1;
  size_t length = tree->path.length;
  if (length)
    out_bytes(&tree->path, "/", 1);
  out_bytes(&tree->path, name, strlen(name));
  errno = ENOMEM;
  if (!tree->path.full && push_level(tree, fd) == 0)
    return 0;
  int error = errno;
  close(fd);
  tree->path.length = length;
  errno = error;
  return -1;
}

static int reopen_above(struct tree *tree, int below) {
  struct tree_level *level = &tree->levels[tree->depth - 2];
  OWNED_FD fd = openat(below, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0)
    return -1;
  if (st.st_dev != level->dev || st.st_ino != level->ino) {
    errno = ESTALE;
    return -1;
  }
  level->fd = fd;
  fd = -1;
  tree->closed--;
  return 0;
}

int tree_leave(struct tree *tree) {
  struct tree_level *level = &tree->levels[tree->depth - 1];
  if (tree->closed == tree->depth - 1 && tree->depth > 1 && reopen_above(tree, level->fd) < 0)
    return -1;
  close(level->fd);
  tree->pending.length = level->pending;
  tree->depth--;
  if (tree->depth)
    tree->path.length = tree->levels[tree->depth - 1].path_length;
  return 0;
}

int tree_fd(const struct tree *tree) { return tree->levels[tree->depth - 1].fd; }

void tree_push_name(struct tree *tree, const char *name) {
  out_bytes(&tree->pending, name, strlen(name) + 1);
}

const char *tree_next(struct tree *tree) {
  size_t start = tree->levels[tree->depth - 1].pending;
  size_t end = tree->pending.length;
  if (end == start)
    return NULL;
  size_t at = end - 1; /* the terminator of the last name */
  while (at > start && tree->pending.data[at - 1] != 0)
    at--;
  tree->pending.length = at;
  return (const char *)tree->pending.data + at;
}

int read_names(int fd, struct batch_out *names) {
  OWNED uint8_t *buffer = malloc(1 << 16);
  if (!buffer)
    return -1;
  for (;;) {
    ssize_t got = getdents64(fd, buffer, 1 << 16);
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    for (ssize_t at = 0; at < got;) {
      const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
      at += entry->d_reclen;
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        continue;
      out_bytes(names, &entry->d_type, 1);
      out_bytes(names, entry->d_name, strlen(entry->d_name) + 1);
    }
  }
  errno = ENOMEM;
  return names->full ? -1 : 0;
}
