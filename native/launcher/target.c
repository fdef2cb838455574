#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "kernel.h"

#define MAX_SYMLINKS 40

/* Takes the first component off `pending`; false when nothing is left. */
static bool take_component(char *pending, char component[NAME_MAX + 2]) {
  char *start = pending + strspn(pending, "/");
  size_t length = strcspn(start, "/");
  if (length == 0)
    return false;
  if (length > NAME_MAX + 1)
    length = NAME_MAX + 1; /* too long: the kernel will say so */
  memcpy(component, start, length);
  component[length] = '\0';
  memmove(pending, start + length, strlen(start + length) + 1);
  return true;
}

static void drop_component(char *path) {
  char *slash = strrchr(path, '/');
  if (slash == NULL)
    slash = path;
  *slash = '\0';
}

static int add_component(char *path, const char *component) {
  size_t length = strlen(path);
  size_t room = PATH_MAX - length;
  int written = snprintf(path + length, room, "%s%s", length > 0 ? "/" : "", component);
  if (written < 0 || (size_t)written >= room) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return 0;
}

/* Puts the symlink's target before the rest of the path. Returns 0 or -1 with errno. */
static int follow_link(int link, char *resolved, char *pending) {
  char target[PATH_MAX];
  char joined[PATH_MAX];
  ssize_t length = readlinkat(link, "", target, sizeof target - 1);
  if (length < 0)
    return -1;
  target[length] = '\0';
  int written = snprintf(joined, sizeof joined, "%s/%s", target, pending);
  if (written < 0 || (size_t)written >= sizeof joined) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(pending, joined, (size_t)written + 1);
  if (target[0] == '/')
    resolved[0] = '\0';
  else
    drop_component(resolved);
  return 0;
}

/* Looks at the last component of `place`: follows it if it is a symlink. Returns 0 or -1 with
 * errno. */
static int step_into(int root, struct tsb_place *place, char *pending, int *links) {
  if (!place->exists)
    return 0;
  TSB_FD entry =
      sys_openat2(root, place->path, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (entry < 0 && errno == ENOENT) {
    place->exists = false;
    return 0;
  }
  if (entry < 0)
    return -1;
  struct stat status;
  if (fstat(entry, &status) < 0)
    return -1;
  if (!S_ISLNK(status.st_mode))
    return 0;
  if (++*links > MAX_SYMLINKS) {
    errno = ELOOP;
    return -1;
  }
  return follow_link(entry, place->path, pending);
}

int resolve_place(int root, const char *path, struct tsb_place *place, struct tsb_report *report) {
  char pending[PATH_MAX];
  char component[NAME_MAX + 2];
  int links = 0;
  *place = (struct tsb_place){.exists = true};
  if (snprintf(pending, sizeof pending, "%s", path) >= (int)sizeof pending)
    return failed_with(report, TSB_STAGE_TARGET, ENAMETOOLONG, path);
  while (take_component(pending, component)) {
    if (strcmp(component, ".") == 0)
      continue;
    if (strcmp(component, "..") == 0) {
      drop_component(place->path);
      continue;
    }
    if (add_component(place->path, component) < 0)
      return failed(report, TSB_STAGE_TARGET, path);
    if (step_into(root, place, pending, &links) < 0)
      return failed(report, TSB_STAGE_TARGET, path);
  }
  return 0;
}

int make_place(int root, const char *path, bool is_file, struct tsb_report *report) {
  return make_place_like(-1, root, path, is_file, report);
}

/* An owner that this namespace has no id for (EINVAL) is shown as nobody, and can't be given. */
int copy_attributes(int model, const char *path, int made) {
  struct stat status;
  if (model < 0 || fstatat(model, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
    return 0;
  if (fchown(made, status.st_uid, status.st_gid) < 0 && errno != EINVAL)
    return -1;
  if (fchmod(made, status.st_mode & 07777) < 0)
    return -1;
  const struct timespec times[2] = {status.st_atim, status.st_mtim};
  return futimens(made, times);
}

/* Of directories that got children after their attributes. */
static void restore_times(int model, int root, const char *path) {
  char parent[PATH_MAX];
  struct stat status;
  snprintf(parent, sizeof parent, "%s", path);
  for (drop_component(parent); parent[0] != '\0'; drop_component(parent)) {
    if (fstatat(model, parent, &status, AT_SYMLINK_NOFOLLOW) < 0)
      continue;
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    utimensat(root, parent, times, AT_SYMLINK_NOFOLLOW); /* cosmetic: a failure changes no step */
  }
}

/* Opens or creates the directory `name`. Returns its descriptor or -1 with errno. */
static int enter_directory(int parent, const char *name, int model, const char *path) {
  int made = mkdirat(parent, name, 0755);
  if (made < 0 && errno != EEXIST && errno != EROFS)
    return -1;
  const int refusal = made < 0 ? errno : 0;
  int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0 && errno == ENOENT)
    errno = refusal; /* it is missing, and can't be made */
  if (directory < 0)
    return -1;
  if (made == 0 && copy_attributes(model, path, directory) < 0) {
    close(directory);
    return -1;
  }
  return directory;
}

static int create_file(int parent, const char *name) {
  int file = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0)
    return errno == EEXIST ? 0 : -1;
  close(file);
  return 0;
}

enum last { LAST_DIRECTORY, LAST_FILE, LAST_WHITEOUT };

static int create_last(int parent, const char *name, enum last last) {
  if (last == LAST_FILE)
    return create_file(parent, name);
  int made = mknodat(parent, name, S_IFCHR, 0);
  return made < 0 && errno != EEXIST ? -1 : 0;
}

static int make_path(int model, int root, const char *path, enum last last,
                     struct tsb_report *report) {
  char pending[PATH_MAX];
  char walked[PATH_MAX] = "";
  char component[NAME_MAX + 2];
  TSB_FD parent = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0)
    return failed(report, TSB_STAGE_TARGET, path);
  snprintf(pending, sizeof pending, "%s", path);
  while (take_component(pending, component)) {
    if (add_component(walked, component) < 0)
      return failed(report, TSB_STAGE_TARGET, path);
    if (last != LAST_DIRECTORY && pending[strspn(pending, "/")] == '\0') {
      if (create_last(parent, component, last) < 0)
        return failed(report, TSB_STAGE_TARGET, path);
      break;
    }
    int next = enter_directory(parent, component, model, walked);
    if (next < 0)
      return failed(report, TSB_STAGE_TARGET, path);
    close(parent);
    parent = next;
  }
  if (model >= 0)
    restore_times(model, root, path);
  return 0;
}

int make_place_like(int model, int root, const char *path, bool is_file,
                    struct tsb_report *report) {
  return make_path(model, root, path, is_file ? LAST_FILE : LAST_DIRECTORY, report);
}

int hide_place(int model, int root, const char *path, struct tsb_report *report) {
  return make_path(model, root, path, LAST_WHITEOUT, report);
}
