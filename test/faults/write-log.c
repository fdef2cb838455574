/* A file system of two files that remembers all writes, to make power cuts from.
 *
 *   write-log LOG BYTES MOUNTPOINT
 *
 * `disk` holds BYTES bytes in memory; a loop device lies on it. Each write to it and each flush is appended to LOG in the
 * order in which they were answered, as is what anyone writes to `mark`: so LOG says which bytes could be on the disk when
 * somebody was told something. A record is { u32 kind, u32 length, u64 offset } in the machine's order, then its bytes. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WRITE = 1, FLUSH = 2, MARK = 3 };

struct record {
  uint32_t kind;
  uint32_t length;
  uint64_t offset;
};

static char *disk;
static size_t disk_bytes;
static FILE *write_log;

static int append(uint32_t kind, uint64_t offset, const char *bytes, size_t length) {
  struct record record = {kind, (uint32_t)length, offset};
  if (fwrite(&record, sizeof record, 1, write_log) != 1) return -EIO;
  if (length > 0 && fwrite(bytes, length, 1, write_log) != 1) return -EIO;
  return kind == WRITE || fflush(write_log) == 0 ? 0 : -EIO;
}

static int is_disk(const char *path) { return strcmp(path, "/disk") == 0; }

static int get_attributes(const char *path, struct stat *stat, struct fuse_file_info *info) {
  (void)info;
  memset(stat, 0, sizeof *stat);
  stat->st_nlink = 1;
  stat->st_mode = S_IFREG | 0600;
  if (strcmp(path, "/") == 0) stat->st_mode = S_IFDIR | 0700;
  else if (is_disk(path)) stat->st_size = (off_t)disk_bytes;
  else if (strcmp(path, "/mark") != 0) return -ENOENT;
  return 0;
}

static int open_file(const char *path, struct fuse_file_info *info) {
  info->direct_io = !is_disk(path);
  return 0;
}

static int read_file(const char *path, char *into, size_t length, off_t offset, struct fuse_file_info *info) {
  (void)info;
  if (!is_disk(path) || (size_t)offset >= disk_bytes) return 0;
  if (length > disk_bytes - (size_t)offset) length = disk_bytes - (size_t)offset;
  memcpy(into, disk + offset, length);
  return (int)length;
}

static int write_file(const char *path, const char *from, size_t length, off_t offset, struct fuse_file_info *info) {
  (void)info;
  if (is_disk(path)) {
    if ((size_t)offset + length > disk_bytes) return -ENOSPC;
    memcpy(disk + offset, from, length);
  }
  int failed = append(is_disk(path) ? WRITE : MARK, (uint64_t)offset, from, length);
  return failed ? failed : (int)length;
}

static int flush_file(const char *path, int data_only, struct fuse_file_info *info) {
  (void)data_only;
  (void)info;
  return is_disk(path) ? append(FLUSH, 0, NULL, 0) : 0;
}

static int truncate_file(const char *path, off_t length, struct fuse_file_info *info) {
  (void)length;
  (void)info;
  return is_disk(path) ? -EPERM : 0;
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  disk_bytes = strtoull(arguments[2], NULL, 10);
  disk = mmap(NULL, disk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  write_log = fopen(arguments[1], "we");
  if (disk == MAP_FAILED || write_log == NULL) return 1;
  const struct fuse_operations operations = {
      .getattr = get_attributes,
      .open = open_file,
      .read = read_file,
      .write = write_file,
      .fsync = flush_file,
      .truncate = truncate_file,
  };
  /* One thread: the order of the answers is the order of the log. */
  char *options[] = {arguments[0], "-f", "-s", arguments[3], NULL};
  return fuse_main(4, options, &operations, NULL);
}
