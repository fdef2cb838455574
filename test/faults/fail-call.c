/* Makes one call of a program fail, or ends the program at it: to be preloaded (LD_PRELOAD).
 *
 *   FAIL_BELOW   directory whose files are meant
 *   FAIL_CALLS   which calls: 'open,write,sync,name,remove,read', comma-separated; see `kinds`
 *   FAIL_MATCH   only files whose path contains this
 *   FAIL_AT      the how-manieth of these calls; 0: all of them
 *   FAIL_WITH    the errno it gets; 0: it is only noted; 'kill' ends the program before it, 'killed' right after it
 *   FAIL_MARK    file that is made when it happens; it gets the call and the path
 *   FAIL_PROGRAM only in processes whose executable has this name
 *
 * Calls are counted over all threads. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE = 2, SYNC = 4, NAME = 8, REMOVE = 16, READ = 32 };

static const struct {
  const char *name;
  enum kind kind;
} kinds[] = {
    {"open", OPEN}, {"write", WRITE}, {"sync", SYNC}, {"name", NAME}, {"remove", REMOVE}, {"read", READ},
};

static const char *below, *match, *mark;
static unsigned wanted;
static long fail_at;
static int fail_with;
static int kill_before, kill_after;
static atomic_long calls;

__attribute__((constructor)) static void configure(void) {
  const char *with = getenv("FAIL_WITH"), *names = getenv("FAIL_CALLS"), *program = getenv("FAIL_PROGRAM");
  below = getenv("FAIL_BELOW");
  if (below == NULL || with == NULL || names == NULL) return;
  char executable[PATH_MAX] = "";
  if (readlink("/proc/self/exe", executable, sizeof executable - 1) < 0) return;
  const char *slash = strrchr(executable, '/');
  if (program != NULL && (slash == NULL || strcmp(slash + 1, program) != 0)) return;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strstr(names, kinds[i].name) != NULL) wanted |= kinds[i].kind;
  }
  match = getenv("FAIL_MATCH");
  mark = getenv("FAIL_MARK");
  fail_at = atol(getenv("FAIL_AT") != NULL ? getenv("FAIL_AT") : "1");
  kill_before = strcmp(with, "kill") == 0;
  kill_after = strcmp(with, "killed") == 0;
  fail_with = atoi(with);
}

static void note(const char *call, const char *path) {
  if (mark == NULL) return;
  int file = (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  char text[PATH_MAX + 64];
  int length = snprintf(text, sizeof text, "%s %s\n", call, path);
  (void)!syscall(SYS_write, file, text, (size_t)length);
  syscall(SYS_close, file);
}

/* 1 if this is the call that is to fail; the caller then sets errno. */
static int is_due(enum kind kind, const char *call, const char *path) {
  if (!(wanted & kind) || path == NULL || strncmp(path, below, strlen(below)) != 0) return 0;
  if (match != NULL && strstr(path, match) == NULL) return 0;
  long count = atomic_fetch_add(&calls, 1) + 1;
  if (fail_at != 0 && count != fail_at) return 0;
  note(call, path);
  if (kill_before) syscall(SYS_kill, getpid(), SIGKILL);
  return kill_after || fail_with != 0;
}

static int path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return 1;
}

static int fd_is_due(enum kind kind, const char *call, int fd) {
  char path[PATH_MAX];
  int before = errno;
  if (!(wanted & kind)) return 0;
  int due = path_of(fd, path) && is_due(kind, call, path);
  errno = before;
  return due;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The call itself, unless its time has come. */
#define UNLESS_DUE(due, type, call)                     \
  do {                                                  \
    if (!(due)) return call;                            \
    if (kill_after) {                                   \
      type done = call;                                 \
      (void)done;                                       \
      syscall(SYS_kill, getpid(), SIGKILL);             \
    }                                                   \
    errno = fail_with;                                  \
    return (type)-1;                                    \
  } while (0)

#define ON_FD(name, type, kind, parameters, ...) \
  type name parameters { UNLESS_DUE(fd_is_due(kind, #name, fd), type, REAL(name)(__VA_ARGS__)); }
#define ON_PATH(name, type, kind, parameters, ...) \
  type name parameters { UNLESS_DUE(is_due(kind, #name, path), type, REAL(name)(__VA_ARGS__)); }

ON_FD(write, ssize_t, WRITE, (int fd, const void *from, size_t size), fd, from, size)
ON_FD(pwrite, ssize_t, WRITE, (int fd, const void *from, size_t size, off_t at), fd, from, size, at)
ON_FD(pwrite64, ssize_t, WRITE, (int fd, const void *from, size_t size, off64_t at), fd, from, size, at)
ON_FD(writev, ssize_t, WRITE, (int fd, const struct iovec *from, int count), fd, from, count)
ON_FD(pwritev, ssize_t, WRITE, (int fd, const struct iovec *from, int count, off_t at), fd, from, count, at)
ON_FD(pwritev64, ssize_t, WRITE, (int fd, const struct iovec *from, int count, off64_t at), fd, from, count, at)
ON_FD(ftruncate, int, WRITE, (int fd, off_t size), fd, size)
ON_FD(ftruncate64, int, WRITE, (int fd, off64_t size), fd, size)
ON_FD(read, ssize_t, READ, (int fd, void *into, size_t size), fd, into, size)
ON_FD(pread, ssize_t, READ, (int fd, void *into, size_t size, off_t at), fd, into, size, at)
ON_FD(pread64, ssize_t, READ, (int fd, void *into, size_t size, off64_t at), fd, into, size, at)
ON_FD(fsync, int, SYNC, (int fd), fd)
ON_FD(fdatasync, int, SYNC, (int fd), fd)
ON_FD(syncfs, int, SYNC, (int fd), fd)
ON_PATH(mkdir, int, NAME, (const char *path, mode_t mode), path, mode)
ON_PATH(unlink, int, REMOVE, (const char *path), path)
ON_PATH(rmdir, int, REMOVE, (const char *path), path)
ON_PATH(unlinkat, int, REMOVE, (int dir, const char *path, int flags), dir, path, flags)

int rename(const char *from, const char *path) {
  UNLESS_DUE(is_due(NAME, "rename", path), int, REAL(rename)(from, path));
}

int link(const char *from, const char *path) {
  UNLESS_DUE(is_due(NAME, "link", path), int, REAL(link)(from, path));
}

ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags) {
  UNLESS_DUE(fd_is_due(WRITE, "copy_file_range", fd), ssize_t, REAL(copy_file_range)(from, at, fd, to, size, flags));
}

/* Only opening to write or to make counts as opening. */
#define OPENING(name)                                                                       \
  int name(const char *path, int flags, ...) {                                              \
    va_list more;                                                                           \
    va_start(more, flags);                                                                  \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                 \
    va_end(more);                                                                           \
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;                 \
    UNLESS_DUE(writes && is_due(OPEN, #name, path), int, REAL(name)(path, flags, mode));    \
  }
OPENING(open)
OPENING(open64)
