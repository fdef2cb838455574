#include "open-beneath.h"

#include <limits.h>
#include <string.h>

#include "cleanup.h"

static int open_piece(int dir, const char *path, size_t length, uint64_t resolve) {
  char text[PATH_MAX] = ".";
  if (length) {
    memcpy(text, path, length);
    text[length] = 0;
  }
  return open_beneath(dir, text, O_PATH | O_DIRECTORY, resolve);
}

int open_dir_beneath(int root, const char *path, size_t length, uint64_t resolve) {
  OWNED_FD dir = -1;
  while (length >= PATH_MAX) {
    size_t piece = PATH_MAX - 1;
    while (piece && path[piece] != '/')
      piece--;
    /* ".." and symlinks across pieces can't be told from an escape: long paths go without. */
    int next = open_piece(dir < 0 ? root : dir, path, piece, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (next < 0)
      return -1;
    if (dir >= 0)
      close(dir);
    dir = next;
    path += piece + 1;
    length -= piece + 1;
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  }
  return open_piece(dir < 0 ? root : dir, path, length, resolve);
}
