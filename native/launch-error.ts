// A launcher's failure in words: which part of starting a step failed, and what the user can do about it.
import { errnoName, errnoText } from './errno.js';
import { SystemError } from './errors.js';
import type { LaunchFailure } from './launch-status.js';

/** The error for `failure`, coded LAUNCH_<STAGE>. */
export function launchError(failure: LaunchFailure): SystemError {
  const errno = errnoName(failure.errno);
  const text = errno === 'ENOEXEC' ? 'not in a format that this machine executes' : errnoText(failure.errno);
  const words = stages[failure.stage] ?? { doing: 'could not start the step:' };
  const detail = failure.detail === '' ? '' : ` (${failure.detail})`;
  return new SystemError(`LAUNCH_${failure.stage}`, {
    message: `${words.doing} ${failure.object}: ${text}${detail}`,
    hint: words.hints?.[errno] ?? words.hint,
    errno,
  });
}

interface StageWords {
  readonly doing: string;
  readonly hint?: string;
  /** By errno name, before `hint`. */
  readonly hints?: Readonly<Record<string, string>>;
}

const userNamespaces =
  'this kernel or container does not let tsbuild create user namespaces: check the sysctls user.max_user_namespaces, ' +
  'kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns; inside a container it needs ' +
  'CAP_SYS_ADMIN and a seccomp profile that allows clone and mount';

const masked =
  'the kernel allows this only where it is fully visible: inside a container, run that one with an unmasked /proc and /sys';

const stages: Readonly<Record<string, StageWords>> = {
  SPEC: { doing: 'could not read the description of the step:' },
  LAYER: {
    doing: 'could not mount the layer',
    hint: 'check the store with `tsbuild fsck`; where the kernel has no file-backed EROFS, set TSBUILD_FORM=tree',
    hints: { EPERM: 'mounting a layer index needs root; set TSBUILD_FORM=tree' },
  },
  SCRATCH: {
    doing: 'could not prepare the directory for the result',
    hints: { ENOSPC: 'the disk is full: free space, or `tsbuild gc`' },
  },
  BIND: { doing: 'could not open the source of a mount:' },
  NAMESPACE: { doing: 'could not create namespaces:', hint: userNamespaces },
  IDS: {
    doing: 'could not set up user ids:',
    hint: 'as an ordinary user: install uidmap and give the user a range in /etc/subuid and /etc/subgid',
  },
  CGROUP: { doing: 'could not join the cgroup' },
  IDMAP: {
    doing: 'could not map owners of',
    hints: { EINVAL: 'its file system has no idmapped mounts: put the store on ext4, xfs, btrfs or tmpfs' },
  },
  OVERLAY: {
    doing: 'could not mount the overlay of',
    hints: {
      EINVAL: 'the store must lie on a file system that OverlayFS can write to, such as ext4, xfs, btrfs or tmpfs',
    },
  },
  TARGET: {
    doing: 'could not make the mount point',
    hints: { EROFS: 'it lies in another mount, which is read-only and has no such place: choose another target' },
  },
  PROC: { doing: 'could not mount or mask', hints: { EPERM: masked } },
  SYS: { doing: 'could not mount', hints: { EPERM: masked } },
  DEV: { doing: 'could not set up /dev:' },
  MOUNT: {
    doing: 'could not mount at',
    hints: {
      EPERM: 'nothing can be mounted inside /proc and /sys',
      ENOTDIR: 'what shall be mounted is a directory, and there is a file: choose another target',
      EISDIR: 'what shall be mounted is a file, and there is a directory: choose another target',
    },
  },
  ROOT: { doing: 'could not enter the root file system:' },
  NETWORK: { doing: 'could not set up the network interface' },
  HOSTNAME: { doing: 'could not set the host name' },
  INIT: { doing: 'could not start the first process:' },
  WORKDIR: { doing: 'could not enter the working directory', hint: 'check WORKDIR' },
  CREDENTIALS: {
    doing: 'could not become',
    hint: 'this id is not mapped: give your user a larger range in /etc/subuid and /etc/subgid, or build as root',
  },
  LIMIT: {
    doing: 'could not set the limit',
    hint: 'give --ulimit no more than the hard limit, or raise that first, in /etc/security/limits.conf or by the service manager',
  },
  SECCOMP: {
    doing: 'could not install the system call filter for',
    hint: 'the kernel needs CONFIG_SECCOMP_FILTER',
  },
  EXEC: { doing: 'could not execute' },
};
