/* Prints a file tree as the kernel shows it, one line a file, for the tests of the layer formats.
 *
 *   mounted-tree dir PATH                            a directory
 *   mounted-tree index SCRATCH INDEX TAR             one index over its tar
 *   mounted-tree overlay SCRATCH [-u] INDEX TAR...   an overlay of layers, base first; -u: with userxattr;
 *                                                    '-' and a directory instead: a layer as a tree
 *
 * SCRATCH is an empty directory. Mounts happen in a mount namespace of this process, so nothing is left behind.
 * A line: path mode uid gid size mtime nsec nlink device:inode major minor target xattrs content; texts and bytes in hex;
 * of contents beyond 64 KiB '~' and a checksum (see contentText in kernel-tree.ts).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void check_context(int fs, const char *what) {
  int error = errno;
  char text[4096];
  for (ssize_t n; (n = read(fs, text, sizeof text - 1)) > 0;) fprintf(stderr, "%.*s\n", (int)n, text);
  errno = error;
  fail(what);
}

static int configure(int fs, unsigned command, const char *key, const char *value) {
  return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static void attach(int fs, const char *where) {
  if (configure(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) check_context(fs, "create");
  int mount = (int)syscall(SYS_fsmount, fs, 0, MOUNT_ATTR_RDONLY);
  if (mount < 0) check_context(fs, "fsmount");
  if (syscall(SYS_move_mount, mount, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0) fail("move_mount");
}

static void mount_index(const char *index, const char *tar, const char *where) {
  int fs = (int)syscall(SYS_fsopen, "erofs", 0);
  if (fs < 0) fail("fsopen erofs");
  if (configure(fs, FSCONFIG_SET_STRING, "source", index) < 0) check_context(fs, "source");
  if (configure(fs, FSCONFIG_SET_STRING, "device", tar) < 0) check_context(fs, "device");
  attach(fs, where);
}

static void hex(const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
}

static size_t fill(int fd, void *buffer, size_t size) {
  size_t done = 0;
  for (ssize_t n; done < size && (n = read(fd, (char *)buffer + done, size - done)) != 0; done += (size_t)n) {
    if (n < 0) fail("read");
  }
  return done;
}

static void print_content(int fd, off_t size) {
  uint32_t words[16384], high = 0, low = 0;
  for (size_t n; (n = fill(fd, words, sizeof words)) > 0;) {
    if (size <= (off_t)sizeof words) {
      hex(words, n);
      continue;
    }
    memset((char *)words + n, 0, sizeof words - n);
    for (size_t i = 0; i < (n + 3) / 4; i++) {
      low = (low ^ words[i]) * 16777619u;
      high = (high + words[i]) * 2654435761u + 1;
    }
  }
  if (size > (off_t)sizeof words) printf("~%08x%08x", high, low);
}

static void print_xattrs(const char *name) {
  static char names[65536], value[65536];
  ssize_t length = llistxattr(name, names, sizeof names);
  if (length < 0) fail("llistxattr");
  for (char *at = names; at < names + length; at += strlen(at) + 1) {
    ssize_t size = lgetxattr(name, at, value, sizeof value);
    if (size < 0) fail("lgetxattr");
    hex(at, strlen(at));
    printf("=");
    hex(value, (size_t)size);
    printf(",");
  }
}

static void print_tree(const char *path, size_t path_length);

static void print_file(const char *name, const char *path, size_t path_length) {
  struct stat st;
  if (lstat(name, &st) < 0) {
    printf("broken ");
    hex(path, path_length);
    printf(" %d\n", errno);
    return;
  }
  printf(".");
  hex(path, path_length);
  printf(" %o %u %u %lld %lld %ld %lu %lu:%lu %u %u .", st.st_mode, st.st_uid, st.st_gid,
         S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
         (unsigned long)st.st_nlink, (unsigned long)st.st_dev, (unsigned long)st.st_ino,
         S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? major(st.st_rdev) : 0,
         S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? minor(st.st_rdev) : 0);
  if (S_ISLNK(st.st_mode)) {
    char target[4096];
    ssize_t n = readlink(name, target, sizeof target);
    if (n < 0) fail("readlink");
    hex(target, (size_t)n);
  }
  printf(" .");
  print_xattrs(name);
  printf(" .");
  if (S_ISREG(st.st_mode)) {
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) fail("open");
    print_content(fd, st.st_size);
    close(fd);
  }
  printf("\n");
  if (!S_ISDIR(st.st_mode)) return;
  int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (here < 0 || chdir(name) < 0) fail("chdir");
  print_tree(path, path_length);
  if (fchdir(here) < 0) fail("fchdir");
  close(here);
}

static void print_tree(const char *path, size_t path_length) {
  DIR *dir = opendir(".");
  if (!dir) fail("opendir");
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    char child[8192];
    int length = snprintf(child, sizeof child, "%.*s%s%s", (int)path_length, path, path_length ? "/" : "",
                          entry->d_name);
    print_file(entry->d_name, child, (size_t)length);
  }
  closedir(dir);
}

static void mount_overlay(int count, char **pairs, const char *where, int userxattr) {
  int fs = (int)syscall(SYS_fsopen, "overlay", 0);
  if (fs < 0) fail("fsopen overlay");
  for (int i = count - 1; i >= -1; i--) {
    char made[64];
    const char *lower = made;
    snprintf(made, sizeof made, "l%d", i); /* l-1 stays empty: an overlay needs two lower directories */
    if (mkdir(made, 0755) < 0) fail("mkdir");
    if (i >= 0 && !strcmp(pairs[2 * i], "-")) lower = pairs[2 * i + 1];
    else if (i >= 0) mount_index(pairs[2 * i], pairs[2 * i + 1], made);
    if (configure(fs, FSCONFIG_SET_STRING, "lowerdir+", lower) < 0) check_context(fs, "lowerdir+");
  }
  if (userxattr && configure(fs, FSCONFIG_SET_FLAG, "userxattr", NULL) < 0) check_context(fs, "userxattr");
  attach(fs, where);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int root = strcmp(argv[1], "dir");
  if (root) {
    if (unshare(CLONE_NEWNS) < 0) fail("unshare");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("private mounts");
    if (mount("tmpfs", argv[2], "tmpfs", 0, NULL) < 0) fail("tmpfs");
    if (chdir(argv[2]) < 0) fail("scratch");
    if (mkdir("root", 0755) < 0) fail("mkdir");
    int userxattr = argc > 3 && !strcmp(argv[3], "-u");
    if (strcmp(argv[1], "index") == 0) mount_index(argv[3], argv[4], "root");
    else mount_overlay((argc - 3 - userxattr) / 2, argv + 3 + userxattr, "root", userxattr);
    if (chdir("root") < 0) fail("root");
  } else if (chdir(argv[2]) < 0) {
    fail(argv[2]);
  }
  print_file(".", "", 0);
  return 0;
}
