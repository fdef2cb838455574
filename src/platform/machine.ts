// ELF facts → the names that people and images use for a machine.
import type { Platform } from '#store';
import type { ElfFacts } from './elf.js';

/** The platform whose kernel executes such a file; 'elf-N' for machines without an OCI name. */
export function elfPlatform(facts: ElfFacts): Platform {
  const os = operatingSystems[facts.osabi] ?? 'linux';
  const architecture = elfArchitecture(facts);
  if (architecture !== 'arm') return { os, architecture };
  // The header can't tell v6 from v7: Debian's and Alpine's hard-float ports differ here, so only the float ABI speaks.
  return { os, architecture, variant: armFloat(facts) === 'soft' ? 'v5' : 'v7' };
}

/** As people say it: 'arm64', 'x86-64', 'i386', 'arm (EABI5 hard float)'. */
export function machineName(facts: ElfFacts): string {
  const architecture = elfArchitecture(facts);
  if (architecture === 'arm') return armName(facts);
  if (architecture.startsWith('elf-')) return `machine ${facts.machine} (${facts.bits}-bit)`;
  return spokenNames[architecture] ?? architecture;
}

/** How people call the machine of a platform, in the same words as `machineName`. */
export function platformMachineName(platform: Platform): string {
  return spokenNames[platform.architecture] ?? platform.architecture;
}

/** Go's architecture name, as OCI uses it. */
export function elfArchitecture(facts: ElfFacts): string {
  const { machine, bits, endian } = facts;
  const little = endian === 'little';
  const wide = bits === 64;
  switch (machine) {
    case 3:
      return '386';
    case 8: // n32 files are 32-bit for a 64-bit machine; they name themselves by EF_MIPS_ABI2
      return `mips${wide || (facts.flags & 0x20) !== 0 ? '64' : ''}${little ? 'le' : ''}`;
    case 20:
      return 'ppc';
    case 21:
      return little ? 'ppc64le' : 'ppc64';
    case 22:
      return wide ? 's390x' : 's390';
    case 40:
      return little ? 'arm' : 'armbe';
    case 43:
      return 'sparc64';
    case 62:
      return wide ? 'amd64' : 'amd64p32';
    case 183:
      return little ? (wide ? 'arm64' : 'arm64p32') : 'arm64be';
    case 243:
      return wide ? 'riscv64' : 'riscv';
    case 258:
      return wide ? 'loong64' : 'loong32';
    default:
      return `elf-${machine}`;
  }
}

function armName(facts: ElfFacts): string {
  const eabi = facts.flags >>> 24;
  const float = armFloat(facts);
  const words = [eabi === 0 ? 'old ABI' : `EABI${eabi}`, ...(float === null ? [] : [`${float} float`])];
  return `arm (${words.join(' ')})`;
}

/** EF_ARM_ABI_FLOAT_HARD and _SOFT. */
function armFloat(facts: ElfFacts): 'hard' | 'soft' | null {
  if ((facts.flags & 0x400) !== 0) return 'hard';
  return (facts.flags & 0x200) !== 0 ? 'soft' : null;
}

const spokenNames: Partial<Record<string, string>> = {
  amd64: 'x86-64',
  amd64p32: 'x86-64 (x32 ABI)',
  '386': 'i386',
  arm64p32: 'arm64 (ILP32 ABI)',
  arm64be: 'arm64 (big-endian)',
  armbe: 'arm (big-endian)',
};

/** EI_OSABI values that other systems really write; Linux files say 0 or 3. */
const operatingSystems: Partial<Record<number, string>> = { 2: 'netbsd', 6: 'solaris', 9: 'freebsd', 12: 'openbsd' };
