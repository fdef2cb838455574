#include "sources.h"

#include <stdlib.h>

#include "cleanup.h"
#include "open-beneath.h"

#define HOLE_WORTH_IT 65536u

void sources_free(struct sources *sources) {
  for (uint32_t i = 0; i < sources->count; i++)
    close(sources->roots[i]);
  free(sources->roots);
  sources_close(sources);
}

void sources_share(struct sources *sources, const struct sources *from) {
  *sources = (struct sources){.roots = from->roots, .count = from->count, .dir = -1};
}

void sources_close(struct sources *sources) {
  if (sources->dir >= 0)
    close(sources->dir);
  sources->dir = -1;
}

int sources_open(struct sources *sources, struct batch_in *in, struct batch_failure *failure) {
  *sources = (struct sources){.dir = -1};
  uint32_t count = in_u32(in);
  if (in->bad || count > in->left)
    return batch_bad_request(failure, "roots");
  sources->roots = calloc((size_t)count + 1, sizeof *sources->roots);
  if (!sources->roots)
    return batch_no_memory(failure);
  while (sources->count < count) {
    const char *path = in_string(in, NULL);
    if (in->bad)
      return batch_bad_request(failure, "root");
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
      return batch_failed(failure, BATCH_READ, path);
    sources->roots[sources->count++] = fd;
  }
  return 0;
}

static int source_failed(struct batch_failure *failure, const char *path) {
  bool changed = errno == ELOOP || errno == ENOTDIR || errno == ENXIO || errno == EISDIR;
  return batch_failed(failure, changed ? BATCH_CHANGED : BATCH_READ, path);
}

/* The directory of `path`, of which `length` bytes name it; kept for the next file. */
static int source_dir(struct sources *sources, uint32_t root, const char *path, size_t length) {
  if (sources->dir >= 0 && sources->dir_root == root && sources->dir_length == length &&
      memcmp(sources->dir_path, path, length) == 0)
    return sources->dir;
  if (sources->dir >= 0)
    close(sources->dir);
  sources->dir =
      open_dir_beneath(sources->roots[root], path, length, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  sources->dir_root = root;
  sources->dir_path = path;
  sources->dir_length = length;
  return sources->dir;
}

int source_file(struct sources *sources, uint32_t root, const char *path, struct stat *st,
                struct batch_failure *failure) {
  if (root >= sources->count)
    return batch_bad_request(failure, path);
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  int dir = source_dir(sources, root, path, slash ? (size_t)(slash - path) : 0);
  if (dir < 0)
    return source_failed(failure, path);
  OWNED_FD fd = open_entry(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat(fd, st) < 0)
    return source_failed(failure, path);
  if (!S_ISREG(st->st_mode))
    return batch_failed_as(failure, BATCH_CHANGED, EINVAL, path);
  int result = fd;
  fd = -1;
  return result;
}

bool source_touched(int fd, const struct stat *before) {
  struct stat now;
  return fstat(fd, &now) < 0 || now.st_size != before->st_size ||
         now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
         now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

uint64_t source_extent(int fd, const struct stat *st, uint64_t offset, uint64_t end, bool *hole) {
  *hole = false;
  if ((uint64_t)st->st_blocks * 512 >= (uint64_t)st->st_size || end - offset < HOLE_WORTH_IT)
    return end;
  for (uint64_t data = offset; data < end;) {
    off_t start = lseek(fd, (off_t)data, SEEK_HOLE);
    if (start < 0)
      return end; /* a filesystem that can't say: read the zeros */
    off_t next = lseek(fd, start, SEEK_DATA);
    if (next < 0 && errno != ENXIO)
      return end;
    uint64_t hole_start = (uint64_t)start < end ? (uint64_t)start : end;
    uint64_t hole_end = next >= 0 && (uint64_t)next < end ? (uint64_t)next : end;
    if (hole_end - hole_start >= HOLE_WORTH_IT) {
      *hole = hole_start == offset;
      return *hole ? hole_end : hole_start;
    }
    data = hole_end;
  }
  return end;
}
