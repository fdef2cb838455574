// Levels of the x86-64 instruction set, as its psABI defines them and glibc's loader checks them.
import { readFileSync } from 'node:fs';

let level: number | undefined;

/** 1 (baseline) to 4 on x86-64; Infinity where it can't be told, so that nothing is refused for it. */
export function hostIsaLevel(): number {
  level ??= isaLevelOf(processorFlags());
  return level;
}

export function isaLevelOf(flags: ReadonlySet<string>): number {
  if (flags.size === 0) return Number.POSITIVE_INFINITY;
  const missing = levelFlags.findIndex((needed) => !needed.every((flag) => flags.has(flag)));
  return missing < 0 ? levelFlags.length + 1 : missing + 1;
}

function processorFlags(): ReadonlySet<string> {
  try {
    const line = /^flags\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1];
    return new Set(line === undefined ? [] : line.split(' '));
  } catch {
    return new Set();
  }
}

/** What v2, v3 and v4 add, in the kernel's words ('abm' is LZCNT). */
const levelFlags: readonly (readonly string[])[] = [
  ['cx16', 'lahf_lm', 'popcnt', 'sse4_1', 'sse4_2', 'ssse3'],
  ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe', 'xsave'],
  ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
];
