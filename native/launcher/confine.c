#include "confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "kernel.h"
#include "limits.h"
#include "seccomp.h"

/* Docker's default set without NET_RAW, MKNOD and AUDIT_WRITE. */
static const unsigned kept_capabilities[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,  CAP_FSETID,           CAP_KILL,       CAP_SETGID,
    CAP_SETUID, CAP_SETPCAP,      CAP_SETFCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
};

static uint64_t kept_mask(void) {
  uint64_t mask = 0;
  for (size_t i = 0; i < sizeof kept_capabilities / sizeof *kept_capabilities; i++)
    mask |= 1ull << kept_capabilities[i];
  return mask;
}

static int drop_bounding(struct tsb_report *report) {
  for (unsigned capability = 0; capability < 64; capability++) {
    if (kept_mask() & (1ull << capability))
      continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
      continue;
    if (errno == EINVAL)
      break; /* past the last one of this kernel */
    return failed(report, TSB_STAGE_CREDENTIALS, "bounding set");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
    return failed(report, TSB_STAGE_CREDENTIALS, "ambient set");
  return 0;
}

/* Where only one id is mapped the kernel denies setgroups(2); the caller's own groups then stay,
 * unnamed. */
static bool may_set_groups(void) {
  char answer[8] = "";
  TSB_FD file = open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, answer, sizeof answer - 1) <= 0)
    return true;
  return strncmp(answer, "deny", 4) != 0;
}

/* The filter goes in while CAP_SYS_ADMIN is still there: without it no_new_privs would be needed,
 * and su and sudo would fail in the step. */
int confine_process(const struct tsb_spec *spec, struct tsb_report *report) {
  umask(022);
  set_common_limits(spec);
  setsid();
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); /* the filter refuses keys anyway */
  if (may_set_groups() && syscall(SYS_setgroups, spec->group_count, spec->groups) < 0)
    return failed(report, TSB_STAGE_CREDENTIALS, "groups");
  if (spec->unconfined)
    return 0;
  if (drop_bounding(report) < 0)
    return -1;
  return install_seccomp(report);
}

/* `inherited` are also what a program without file capabilities keeps, whoever runs it. */
static int set_capabilities(uint64_t mask, uint64_t inherited) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  for (unsigned i = 0; i < 2; i++) {
    data[i].permitted = data[i].effective = (uint32_t)(mask >> (32 * i));
    data[i].inheritable = (uint32_t)(inherited >> (32 * i));
  }
  if (syscall(SYS_capset, &header, data) < 0)
    return -1;
  for (unsigned capability = 0; capability < 64; capability++)
    if ((inherited & (1ull << capability)) != 0 &&
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
      return -1;
  return 0;
}

/* Everything that root of the step's user namespace may do. */
static uint64_t whole_mask(void) {
  uint64_t mask = 0;
  for (unsigned capability = 0; capability < 64; capability++)
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
      mask |= 1ull << capability;
  return mask;
}

int become_user(const struct tsb_spec *spec, struct tsb_report *report) {
  char ids[64];
  snprintf(ids, sizeof ids, "uid %u gid %u", spec->uid, spec->gid);
  if (spec->unconfined && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
    return failed(report, TSB_STAGE_CREDENTIALS, "capabilities");
  if (syscall(SYS_setresgid, spec->gid, spec->gid, spec->gid) < 0)
    return failed(report, TSB_STAGE_CREDENTIALS, ids);
  if (syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid) < 0)
    return failed(report, TSB_STAGE_CREDENTIALS, ids);
  const uint64_t whole = spec->unconfined ? whole_mask() : 0;
  if (set_capabilities(spec->unconfined ? whole : spec->uid == 0 ? kept_mask() : 0, whole) < 0)
    return failed(report, TSB_STAGE_CREDENTIALS, "capabilities");
  return 0;
}
