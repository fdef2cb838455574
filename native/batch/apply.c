/* apply: a tree made in a directory that did not exist before, in a process of its own.
 *
 * The process makes the directory its root where it may (chroot), and opens every parent beneath it
 * without following a symlink. Directories get their owner, mode and times last, children first:
 * until then they are ours alone, and making a file in one does not touch its time any more.
 *
 *   request  flags (0), string directory, roots of content, u32 operations, then each
 *              u32 kind, string path; but for links and whiteouts: u32 mode, uid, gid, mtime ns,
 *              f64 mtime s, u32 xattrs, (string name, u32 length, value) each
 *              file: f64 size, then u32 0xffffffff and the bytes, or u32 root, f64 offset, string
 *                path, u32 pieces of a sparse file (0: not sparse), (f64 offset, f64 length) each
 *              symlink, link: string target; device: u32 major, u32 minor
 *   reply    u32 skipped devices (a user namespace may not make them), u32 0, then a string each */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "apply.h"
#include "cleanup.h"
#include "open-beneath.h"

#define PARENT_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)

struct application {
  struct apply_content content;
  int root;
  int parent; /* directory of the last entry, kept for its neighbours; -1 if none */
  const char *parent_path;
  size_t parent_length;
  struct batch_out dirs; /* struct apply_op of every directory made */
  struct batch_out skipped;
  uint32_t skipped_count;
  struct batch_failure *failure;
};

static int enter_target(struct application *application, const char *dir);
static int make(struct application *application, const struct apply_op *op);
static int finish_dirs(struct application *application);

static void application_free(struct application *application) {
  content_free(&application->content);
  if (application->root >= 0)
    close(application->root);
  if (application->parent >= 0)
    close(application->parent);
  out_free(&application->dirs);
  out_free(&application->skipped);
}

int batch_apply(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  CLEANUP(application_free)
  struct application application = {.root = -1, .parent = -1, .failure = failure};
  application.content.fd = application.content.sources.dir = -1;
  in_u32(in);
  const char *dir = in_string(in, NULL);
  if (content_open(&application.content, in, failure) < 0)
    return -1;
  uint32_t count = in_u32(in);
  if (in->bad)
    return batch_bad_request(failure, "apply");
  if (enter_target(&application, dir) < 0)
    return -1;
  for (uint32_t i = 0; i < count; i++) {
    struct apply_op op;
    if (!read_apply_op(in, &op))
      return batch_bad_request(failure, "operation");
    if (make(&application, &op) < 0)
      return -1;
  }
  if (finish_dirs(&application) < 0)
    return -1;
  out_u32(out, application.skipped_count);
  out_u32(out, 0);
  out_bytes(out, application.skipped.data, application.skipped.length);
  return application.skipped.full ? batch_no_memory(failure) : 0;
}

static int enter_target(struct application *application, const char *dir) {
  umask(0);
  if (mkdir(dir, 0755) < 0)
    return batch_failed(application->failure, BATCH_ENTER, dir);
  application->root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (application->root < 0 || fchdir(application->root) < 0)
    return batch_failed(application->failure, BATCH_ENTER, dir);
  if (chroot(".") < 0 && errno != EPERM)
    return batch_failed(application->failure, BATCH_ENTER, dir);
  return 0;
}

static int failed(struct application *application, const struct apply_op *op) {
  return batch_failed(application->failure, BATCH_WRITE, *op->path ? op->path : ".");
}

/* The directory that `path` lies in, and its last name. -1 and errno. */
static int enter_parent(struct application *application, const char *path, const char **name) {
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0;
  *name = slash ? slash + 1 : path;
  if (*path == '/' || !**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
    errno = EINVAL;
    return -1;
  }
  if (application->parent >= 0 && application->parent_length == length &&
      memcmp(application->parent_path, path, length) == 0)
    return application->parent;
  if (application->parent >= 0)
    close(application->parent);
  application->parent = open_dir_beneath(application->root, path, length, PARENT_RESOLVE);
  application->parent_path = path;
  application->parent_length = length;
  return application->parent;
}

static int make_dir(struct application *application, int parent, const char *name,
                    const struct apply_op *op);
static int make_file(struct application *application, int parent, const char *name,
                     const struct apply_op *op);
static int make_link(struct application *application, const struct apply_op *op);
static int make_device(struct application *application, int parent, const char *name,
                       const struct apply_op *op);

static int make(struct application *application, const struct apply_op *op) {
  if (op->kind == APPLY_DIR && !*op->path)
    return make_dir(application, -1, "", op);
  if (op->kind == APPLY_LINK)
    return make_link(application, op);
  const char *name;
  int parent = enter_parent(application, op->path, &name);
  if (parent < 0)
    return failed(application, op);
  switch (op->kind) {
  case APPLY_DIR:
    return make_dir(application, parent, name, op);
  case APPLY_FILE:
    return make_file(application, parent, name, op);
  case APPLY_SYMLINK:
    if (symlinkat(op->target, parent, name) < 0 ||
        set_entry_meta(parent, name, &op->meta, true) < 0)
      return failed(application, op);
    return 0;
  case APPLY_FIFO:
    if (mkfifoat(parent, name, 0600) < 0 || set_entry_meta(parent, name, &op->meta, false) < 0)
      return failed(application, op);
    return 0;
  case APPLY_WHITEOUT:
    return mknodat(parent, name, S_IFCHR, makedev(0, 0)) < 0 ? failed(application, op) : 0;
  default:
    return make_device(application, parent, name, op);
  }
}

static int make_dir(struct application *application, int parent, const char *name,
                    const struct apply_op *op) {
  struct stat st;
  if (*name && mkdirat(parent, name, 0700) < 0 &&
      (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
       !S_ISDIR(st.st_mode)))
    return failed(application, op);
  out_bytes(&application->dirs, op, sizeof *op);
  return application->dirs.full ? batch_no_memory(application->failure) : 0;
}

static int make_file(struct application *application, int parent, const char *name,
                     const struct apply_op *op) {
  OWNED_FD fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return failed(application, op);
  if (write_content(&application->content, op, fd, application->failure) < 0)
    return -1;
  if (set_file_meta(fd, &op->meta) < 0)
    return failed(application, op);
  int closed = close(fd); /* network filesystems report a full disk here */
  fd = -1;
  return closed < 0 ? failed(application, op) : 0;
}

static bool was_skipped(const struct application *application, const char *path) {
  struct batch_in in = {.next = application->skipped.data, .left = application->skipped.length};
  while (in.left && !in.bad)
    if (strcmp(in_string(&in, NULL), path) == 0)
      return true;
  return false;
}

static void skip(struct application *application, const char *path) {
  out_u32(&application->skipped, (uint32_t)strlen(path));
  out_bytes(&application->skipped, path, strlen(path) + 1);
  application->skipped_count++;
}

static int make_link(struct application *application, const struct apply_op *op) {
  const char *slash = strrchr(op->target, '/');
  const char *target = slash ? slash + 1 : op->target, *name;
  OWNED_FD from = open_dir_beneath(application->root, op->target,
                                   slash ? (size_t)(slash - op->target) : 0, PARENT_RESOLVE);
  int parent = from < 0 ? -1 : enter_parent(application, op->path, &name);
  if (parent < 0)
    return failed(application, op);
  if (linkat(from, target, parent, name, 0) == 0)
    return 0;
  if (errno != ENOENT || !was_skipped(application, op->target))
    return failed(application, op);
  skip(application, op->path);
  return 0;
}

static int make_device(struct application *application, int parent, const char *name,
                       const struct apply_op *op) {
  mode_t type = op->kind == APPLY_BLOCK ? S_IFBLK : S_IFCHR;
  if (mknodat(parent, name, type | 0600, makedev(op->major, op->minor)) < 0) {
    if (errno != EPERM)
      return failed(application, op);
    skip(application, op->path);
    return 0;
  }
  return set_entry_meta(parent, name, &op->meta, false) < 0 ? failed(application, op) : 0;
}

static int finish_dirs(struct application *application) {
  for (size_t at = application->dirs.length; at > 0;) {
    struct apply_op op;
    at -= sizeof op;
    memcpy(&op, application->dirs.data + at, sizeof op);
    const char *name;
    int parent = *op.path ? enter_parent(application, op.path, &name) : application->root;
    if (parent < 0)
      return failed(application, &op);
    OWNED_FD fd = open_entry(parent, *op.path ? name : ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0 || set_file_meta(fd, &op.meta) < 0)
      return failed(application, &op);
  }
  return 0;
}
