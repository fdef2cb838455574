/* Tries what a step may not do, and prints NAME=ERRNO for each (0: it was allowed). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void show(const char *name, long result) {
  printf("%s=%s\n", name, result >= 0 ? "0" : strerrorname_np(errno));
}

static long clone_with(unsigned long flags) {
  long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (child == 0)
    _exit(0);
  return child;
}

#ifdef __x86_64__
/* A system call by i386's numbers, which the kernel also offers to 64-bit programs. */
static long call_i386(long number, long first) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first) : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0)
    return result;
  errno = (int)-result;
  return -1;
}
#endif

int main(void) {
  printf("ids=%u,%u\n", geteuid(), getegid());
  show("unshare_user", unshare(CLONE_NEWUSER));
  show("unshare_mount", unshare(CLONE_NEWNS));
  show("clone_plain", clone_with(0));
  show("clone_user", clone_with(CLONE_NEWUSER));
  show("clone_net", clone_with(CLONE_NEWNET));
  show("clone3", syscall(SYS_clone3, 0, 0));
  show("mount", mount("x", "/tmp", "tmpfs", 0, 0));
  show("umount", umount2("/proc", 0));
  show("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  show("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 0));
  show("move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0));
  show("pivot_root", syscall(SYS_pivot_root, ".", "."));
  show("setns", setns(0, 0));
  show("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  show("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -1));
  show("request_key", syscall(SYS_request_key, "user", "x", 0, 0));
  show("bpf", syscall(SYS_bpf, 0, 0, 0));
  show("perf_event_open", syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
  show("userfaultfd", syscall(SYS_userfaultfd, 0));
  show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
  show("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
  show("unknown", syscall(1000));
  show("socket_inet", socket(AF_INET, SOCK_DGRAM, 0));
  show("socket_alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
  show("socket_vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  show("socket_raw", socket(AF_INET, SOCK_RAW, 1));
  show("socket_alg_high", syscall(SYS_socket, (1ul << 32) | AF_ALG, SOCK_SEQPACKET, 0));
  show("tiocsti", ioctl(0, TIOCSTI, "x"));
  show("tioclinux_high", syscall(SYS_ioctl, 0, (1ul << 32) | TIOCLINUX, "x"));
  show("personality_query", personality(0xffffffff));
  show("personality_read_implies_exec", personality(READ_IMPLIES_EXEC));
#ifdef __x86_64__
  show("i386_getpid", call_i386(20, 0));
  show("i386_unshare", call_i386(310, CLONE_NEWUSER));
  show("i386_clone_user", call_i386(120, CLONE_NEWUSER));
  show("i386_keyctl", call_i386(288, 0));
#endif
  return 0;
}
