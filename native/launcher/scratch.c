#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "filesystem.h"
#include "kernel.h"

/* A layer's root may have another mode or owner than 0755 root; the overlay shows those of `upper`.
 */
static int copy_root_attributes(const struct stat *like, int upper) {
  if (like == NULL)
    return 0;
  if (fchown(upper, like->st_uid, like->st_gid) < 0)
    return -1;
  if (fchmod(upper, like->st_mode & 07777) < 0)
    return -1;
  const struct timespec times[2] = {like->st_atim, like->st_mtim};
  return futimens(upper, times);
}

int open_scratch(const char *directory, const struct stat *like, struct tsb_scratch *scratch,
                 struct tsb_report *report) {
  TSB_FD dir = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0)
    return failed(report, TSB_STAGE_SCRATCH, directory);
  if (mkdirat(dir, "upper", 0755) < 0 || mkdirat(dir, "work", 0755) < 0)
    return failed(report, TSB_STAGE_SCRATCH, directory);
  TSB_FD upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (upper < 0 || copy_root_attributes(like, upper) < 0)
    return failed(report, TSB_STAGE_SCRATCH, directory);
  scratch->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
  scratch->mount = clone_mount(dir, TSB_STAGE_SCRATCH, directory, report);
  return scratch->mount < 0 ? -1 : 0;
}

/* Removes the directory `name` and all in it. The overlay leaves a few levels; anything deeper is
 * not its own. */
static int remove_tree(int parent, const char *name, int depth) {
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
    return 0;
  if (errno != ENOTEMPTY && errno != EEXIST)
    return -1;
  if (depth == 0)
    return -1;
  int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0)
    return -1;
  DIR *stream = fdopendir(directory);
  if (stream == NULL) {
    close(directory);
    return -1;
  }
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    if (unlinkat(directory, entry->d_name, 0) == 0)
      continue;
    if (errno == EISDIR || errno == EPERM)
      remove_tree(directory, entry->d_name, depth - 1);
  }
  closedir(stream);
  return unlinkat(parent, name, AT_REMOVEDIR);
}

int renew_work(int directory, const char *work) {
  if (remove_tree(directory, work, 16) < 0)
    return -1;
  return mkdirat(directory, work, 0755);
}

void remove_work(const struct tsb_scratch *scratch) {
  if (scratch->dir >= 0)
    remove_tree(scratch->dir, "work", 16);
}
