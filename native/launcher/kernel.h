/* System calls that the C library lacks or wraps differently from version to version. */
#ifndef TSB_KERNEL_H
#define TSB_KERNEL_H

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef MNT_DETACH /* <sys/mount.h> has it, but contradicts <linux/mount.h> in some versions */
#define MNT_DETACH 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static inline int sys_fsopen(const char *filesystem) {
  return (int)syscall(SYS_fsopen, filesystem, FSOPEN_CLOEXEC);
}

static inline int sys_fsconfig(int fs, unsigned command, const char *key, const void *value) {
  return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static inline int sys_fsmount(int fs, unsigned attributes) {
  return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
}

static inline int sys_open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

/* Attaches the detached mount `mount` at `path` beneath `dir`; a symlink there is not followed. */
static inline int sys_move_mount(int mount, int dir, const char *path) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (path[0] == '\0' ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  return (int)syscall(SYS_move_mount, mount, "", dir, path, flags);
}

static inline int sys_mount_setattr(int mount, unsigned flags, struct mount_attr *attributes) {
  return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, attributes,
                      sizeof *attributes);
}

static inline int sys_mount(const char *source, const char *target, const char *type,
                            unsigned long flags, const void *data) {
  return (int)syscall(SYS_mount, source, target, type, flags, data);
}

static inline int sys_umount2(const char *target, int flags) {
  return (int)syscall(SYS_umount2, target, flags);
}

static inline int sys_pivot_root(const char *root, const char *old) {
  return (int)syscall(SYS_pivot_root, root, old);
}

static inline pid_t sys_clone3(struct clone_args *args) {
  return (pid_t)syscall(SYS_clone3, args, sizeof *args);
}

static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags) {
  return (int)syscall(SYS_close_range, first, last, flags);
}

static inline int sys_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int sys_pidfd_getfd(int process, int descriptor) {
  return (int)syscall(SYS_pidfd_getfd, process, descriptor, 0);
}

#endif
