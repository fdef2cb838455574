/* walk: everything lstat(2) and llistxattr(2) say about a directory tree. Nothing but directories
 * is opened, no symlink is followed.
 *
 *   request  flags (1: with xattrs), string directory, string its path in the records ("" or "a/b")
 *   reply    u32 count, u32 0, then a record each, in byte order of the whole path, 8-aligned:
 *            u32 path length, link target length, xattr count, st_mode, uid, gid, nlink,
 *                rdev major, rdev minor, mtime ns, ctime ns, bytes of the record;
 *            f64 size, mtime s, ctime s, dev, ino; path, link target, xattrs */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "failure.h"
#include "open-beneath.h"
#include "tree.h"
#include "xattrs.h"

#define WALK_XATTRS 1u
#define RECORD_HEAD 88u
/* A tree of n nested directories has n²/2 bytes of paths; a step must not fill our memory so. */
#define PATH_LIMIT 32768u

struct walk {
  struct tree tree;
  struct xattr_reader xattrs;
  bool with_xattrs;
  struct batch_out names;   /* of the directory being read */
  struct batch_out path;    /* of the entry being recorded, NUL-terminated */
  struct batch_out records; /* in the order they were met */
  struct batch_out order;   /* size_t offset of each record */
  struct batch_failure *failure;
};

static int walk_init(struct walk *walk, const char *dir, const char *called, uint32_t flags);
static void walk_free(struct walk *walk);
static int read_directory(struct walk *walk);
static int descend(struct walk *walk);
static void write_sorted(struct walk *walk, struct batch_out *out);

int batch_walk(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  uint32_t flags = in_u32(in);
  const char *dir = in_string(in, NULL), *called = in_string(in, NULL);
  if (in->bad)
    return batch_bad_request(failure, "walk");
  CLEANUP(walk_free) struct walk walk = {.failure = failure};
  if (walk_init(&walk, dir, called, flags) < 0)
    return -1;
  while (walk.tree.depth)
    if (descend(&walk) < 0)
      return -1;
  if (walk.records.full || walk.order.full)
    return batch_no_memory(failure);
  write_sorted(&walk, out);
  return 0;
}

static void walk_free(struct walk *walk) {
  tree_free(&walk->tree);
  xattr_reader_free(&walk->xattrs);
  out_free(&walk->names);
  out_free(&walk->path);
  out_free(&walk->records);
  out_free(&walk->order);
}

static int record(struct walk *walk, int dir, const char *name, const struct stat *st);

static int walk_init(struct walk *walk, const char *dir, const char *called, uint32_t flags) {
  walk->with_xattrs = flags & WALK_XATTRS;
  if (xattr_reader_init(&walk->xattrs) < 0)
    return batch_no_memory(walk->failure);
  out_bytes(&walk->tree.path, called, strlen(called));
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || tree_start(&walk->tree, fd) < 0 || fstat(fd, &st) < 0)
    return batch_failed(walk->failure, BATCH_WALK, dir);
  out_bytes(&walk->path, called, strlen(called) + 1);
  if (record(walk, fd, "", &st) < 0)
    return -1;
  return read_directory(walk);
}

/* The directory being read, as the failure's object; "." is the walked directory itself. */
static int failed_here(struct walk *walk, enum batch_stage stage) {
  int error = errno;
  out_bytes(&walk->tree.path, "", 1);
  const char *path = walk->tree.path.full ? "" : (const char *)walk->tree.path.data;
  return batch_failed_as(walk->failure, stage, error, *path ? path : ".");
}

static int failed_at(struct walk *walk) {
  return batch_failed(walk->failure, BATCH_WALK, (const char *)walk->path.data);
}

static int set_path(struct walk *walk, const char *name) {
  walk->path.length = 0;
  out_bytes(&walk->path, walk->tree.path.data, walk->tree.path.length);
  if (walk->tree.path.length)
    out_bytes(&walk->path, "/", 1);
  out_bytes(&walk->path, name, strlen(name) + 1);
  if (walk->path.full)
    return batch_no_memory(walk->failure);
  if (walk->path.length <= PATH_LIMIT)
    return 0;
  errno = ENAMETOOLONG;
  return failed_at(walk);
}

static int read_directory(struct walk *walk) {
  int dir = tree_fd(&walk->tree);
  walk->names.length = 0;
  if (read_names(dir, &walk->names) < 0)
    return failed_here(walk, BATCH_WALK);
  const uint8_t *at = walk->names.data, *end = at + walk->names.length;
  while (at < end) {
    const char *name = (const char *)at + 1;
    at += strlen(name) + 2;
    struct stat st;
    if (set_path(walk, name) < 0)
      return -1;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
      if (errno == ENOENT)
        continue; /* went away while we looked */
      return failed_at(walk);
    }
    if (record(walk, dir, name, &st) < 0)
      return -1;
    if (S_ISDIR(st.st_mode))
      tree_push_name(&walk->tree, name);
  }
  return walk->tree.pending.full ? batch_no_memory(walk->failure) : 0;
}

/* One step: into the next directory, or out of this one. */
static int descend(struct walk *walk) {
  const char *name = tree_next(&walk->tree);
  if (!name) {
    if (tree_leave(&walk->tree) < 0)
      return failed_here(walk, BATCH_CHANGED);
    return 0;
  }
  if (set_path(walk, name) < 0)
    return -1;
  if (tree_enter(&walk->tree, name, 0) < 0) {
    bool changed = errno == ENOENT || errno == ELOOP || errno == ENOTDIR;
    return batch_failed(walk->failure, changed ? BATCH_CHANGED : BATCH_WALK,
                        (const char *)walk->path.data);
  }
  return read_directory(walk);
}

static int read_link(struct walk *walk, int dir, const char *name, size_t *length) {
  uint8_t *space = out_space(&walk->records, 4096); /* symlinks are shorter than PATH_MAX */
  if (!space)
    return batch_no_memory(walk->failure);
  ssize_t got = readlinkat(dir, name, (char *)space, 4096);
  if (got < 0)
    return failed_at(walk);
  walk->records.length -= 4096 - (size_t)got;
  *length = (size_t)got;
  return 0;
}

/* Inode numbers beyond 2^53 (overlayfs puts the layer's number into the top bits) are folded, so
 * that a double keeps files apart. */
static double inode_number(ino_t ino) {
  return (double)((ino & ((UINT64_C(1) << 53) - 1)) ^ (ino >> 53 << 42));
}

static int record(struct walk *walk, int dir, const char *name, const struct stat *st) {
  struct batch_out *out = &walk->records;
  size_t start = out->length, path_length = walk->path.length - 1, link_length = 0;
  out_bytes(&walk->order, &start, sizeof start);
  if (!out_space(out, RECORD_HEAD))
    return batch_no_memory(walk->failure);
  out_bytes(out, walk->path.data, path_length);
  if (S_ISLNK(st->st_mode) && read_link(walk, dir, name, &link_length) < 0)
    return -1;
  int xattrs = 0;
  if (walk->with_xattrs && (xattrs = read_xattrs(&walk->xattrs, dir, name, out)) < 0)
    return failed_at(walk);
  out_align(out);
  if (out->full)
    return batch_no_memory(walk->failure);
  uint32_t words[12] = {
      (uint32_t)path_length,
      (uint32_t)link_length,
      (uint32_t)xattrs,
      st->st_mode,
      st->st_uid,
      st->st_gid,
      (uint32_t)st->st_nlink,
      major(st->st_rdev),
      minor(st->st_rdev),
      (uint32_t)st->st_mtim.tv_nsec,
      (uint32_t)st->st_ctim.tv_nsec,
      (uint32_t)(out->length - start),
  };
  double numbers[5] = {(double)st->st_size, (double)st->st_mtim.tv_sec, (double)st->st_ctim.tv_sec,
                       (double)st->st_dev, inode_number(st->st_ino)};
  static_assert(sizeof words + sizeof numbers == RECORD_HEAD, "the documented record");
  memcpy(out->data + start, words, sizeof words);
  memcpy(out->data + start + sizeof words, numbers, sizeof numbers);
  return 0;
}

static int compare_records(const void *left, const void *right, void *data) {
  const uint8_t *a = (const uint8_t *)data + *(const size_t *)left;
  const uint8_t *b = (const uint8_t *)data + *(const size_t *)right;
  uint32_t a_length, b_length;
  memcpy(&a_length, a, sizeof a_length);
  memcpy(&b_length, b, sizeof b_length);
  uint32_t shorter = a_length < b_length ? a_length : b_length;
  int order = memcmp(a + RECORD_HEAD, b + RECORD_HEAD, shorter);
  return order ? order : (a_length > b_length) - (a_length < b_length);
}

static void write_sorted(struct walk *walk, struct batch_out *out) {
  size_t count = walk->order.length / sizeof(size_t);
  qsort_r(walk->order.data, count, sizeof(size_t), compare_records, walk->records.data);
  out_u32(out, (uint32_t)count);
  out_u32(out, 0);
  uint8_t *space = out_space(out, walk->records.length);
  if (!space)
    return;
  for (size_t i = 0; i < count; i++) {
    size_t start;
    uint32_t length;
    memcpy(&start, walk->order.data + i * sizeof start, sizeof start);
    memcpy(&length, walk->records.data + start + 44, sizeof length);
    memcpy(space, walk->records.data + start, length);
    space += length;
  }
}
