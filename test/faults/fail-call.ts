// Runs the command line with one of its calls into the kernel failing, or killed at it.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compiled } from './c-program.js';

export type CallKind = 'open' | 'write' | 'sync' | 'name' | 'remove' | 'read';

export const errnos = { EIO: 5, EMFILE: 24, ENOSPC: 28, EROFS: 30, EDQUOT: 122 } as const;

export interface Fault {
  readonly kinds: readonly CallKind[];
  /** The how-manieth call of these kinds; 0: each. */
  readonly at: number;
  /** Before the call, or right after it; 'note' lets it pass. */
  readonly with: keyof typeof errnos | 'kill' | 'killed' | 'note';
  /** Only files whose path contains this. */
  readonly match?: string;
  /** Only in processes of this program; otherwise in those of tsbuild itself. */
  readonly program?: string;
}

export interface FaultyRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** 'call path' of the calls that it happened to. */
  readonly hit: readonly string[];
}

const command = join(import.meta.dirname, '../../bin/tsbuild');
let runs = 0;

/** What the environment needs to be for `fault` to happen to files below `dir`. */
function faultEnvironment(dir: string, fault: Fault, mark: string): Record<string, string> {
  const { with: what } = fault;
  return {
    LD_PRELOAD: compiled('fail-call', ['-shared', '-fPIC', '-ldl']),
    FAIL_BELOW: dir,
    FAIL_CALLS: fault.kinds.join(','),
    FAIL_AT: String(fault.at),
    FAIL_WITH: what === 'note' ? '0' : what in errnos ? String(errnos[what as keyof typeof errnos]) : what,
    FAIL_PROGRAM: fault.program ?? 'node',
    FAIL_MARK: mark,
    ...(fault.match !== undefined && { FAIL_MATCH: fault.match }),
  };
}

/** Runs `tsbuild ARGS` on the store `dir`, with a fault or without. */
export async function runWithFault(dir: string, args: readonly string[], fault?: Fault): Promise<FaultyRun> {
  const mark = `${dir}.mark${runs++}`;
  const ended = await endOf(startWithFault(dir, args, fault, mark));
  const hit = readLines(mark);
  rmSync(mark, { force: true });
  return { ...ended, hit };
}

export function startWithFault(
  dir: string,
  args: readonly string[],
  fault?: Fault,
  mark = `${dir}.mark`,
): ChildProcess {
  const more = fault === undefined ? {} : faultEnvironment(dir, fault, mark);
  const own = { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: dir, SOURCE_DATE_EPOCH: '1' };
  return spawn(command, args, { env: { ...own, ...more } });
}

function endOf(child: ChildProcess): Promise<Omit<FaultyRun, 'hit'>> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
