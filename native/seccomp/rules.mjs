// default.json → the rules for a step's capabilities, as C macro calls that generate.c hands to libseccomp.
// usage: node rules.mjs default.json > seccomp-rules.h
import { readFileSync } from 'node:fs';

/** What a step's bounding set holds (native/launcher/program.c). Conditional rules of the profile depend on it. */
const capabilities = new Set(
  'CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP SETFCAP NET_BIND_SERVICE SYS_CHROOT'
    .split(' ')
    .map((name) => `CAP_${name}`),
);

/**
 * Allowed by the profile for containers in containers, which a step has no capability for: with them a step could make a
 * user namespace and reach mount code of the kernel as its root.
 */
const refused = new Set(
  (
    'mount mount_setattr move_mount open_tree fsconfig fsmount fsopen fspick pivot_root umount umount2 unshare setns ' +
    'keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register ' +
    'reboot syslog quotactl_fd kexec_load kexec_file_load'
  ).split(' '),
);

/** ENOSYS, so that libraries fall back: arguments of clone3 lie in memory, where no filter can read its flags. */
const unknown = new Set(['clone3']);

/** Refused by arguments in the second filter (generate.c); here all of it passes. */
const filteredByArguments = new Set(['clone', 'ioctl', 'socket']);

const operators = { SCMP_CMP_EQ: 'SCMP_CMP_EQ', SCMP_CMP_NE: 'SCMP_CMP_NE' };

const profile = JSON.parse(readFileSync(process.argv[2], 'utf8'));
if (profile.defaultAction !== 'SCMP_ACT_ERRNO' || profile.defaultErrno !== 'ENOSYS')
  throw new Error('the profile refuses unknown calls in another way than expected');

const lines = [];
for (const rule of profile.syscalls) {
  if (!applies(rule)) continue;
  for (const name of rule.names) {
    if (refused.has(name) || unknown.has(name) || filteredByArguments.has(name)) continue;
    if (rule.action === 'SCMP_ACT_ALLOW') lines.push(allow(name, rule.args ?? []));
    else if (rule.action === 'SCMP_ACT_ERRNO' && (rule.args ?? []).length === 0)
      lines.push(`REFUSE("${name}", ${rule.errnoRet})`);
    else throw new Error(`the profile has an unexpected rule for ${name}`);
  }
}
for (const name of refused) lines.push(`REFUSE("${name}", EPERM)`);
for (const name of filteredByArguments) lines.push(`ALLOW("${name}")`);
process.stdout.write(`${[...new Set(lines)].join('\n')}\n`);

function applies(rule) {
  const needed = rule.includes?.caps ?? [];
  const excluding = rule.excludes?.caps ?? [];
  return needed.every((cap) => capabilities.has(cap)) && !excluding.some((cap) => capabilities.has(cap));
}

/** Rules by architecture need no condition: libseccomp leaves out what an architecture does not have. */
function allow(name, args) {
  if (args.length === 0) return `ALLOW("${name}")`;
  const [argument] = args;
  const operator = operators[argument.op];
  if (args.length > 1 || operator === undefined) throw new Error(`the profile has an unexpected argument for ${name}`);
  return `ALLOW_IF("${name}", ${argument.index}, ${operator}, ${argument.value}ull)`;
}
