// A place to run steps in as root and as an ordinary user with subordinate ids: a base of busybox, scratch directories.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { afterAll, expect, test } from 'vitest';
import { openHost, type StepSpec } from '../../native/index.js';
import type { RunnerReply, RunnerRequest } from './step-runner.js';

export interface Lab {
  readonly name: 'root' | 'user';
  /** On disk, the owner of what the step's root writes. */
  readonly uid: number;
  readonly gid: number;
  readonly dir: string;
  /** Tree layer with busybox and a few of its commands. */
  readonly base: string;
  /** A fresh tree layer that `fill` puts files in. */
  layer(fill: (dir: string) => void): string;
  run(spec: Partial<StepSpec>, options?: RunOptions): Promise<Outcome>;
  start(spec: Partial<StepSpec>): { readonly manager: ChildProcess; readonly scratchDir: string };
  close(): Promise<void>;
}

export interface RunOptions {
  readonly abortAfterMs?: number;
}

export interface Outcome extends RunnerReply {
  readonly scratchDir: string;
  /** Paths in `upper`, sorted. */
  readonly upper: readonly string[];
}

export const isRoot = process.getuid?.() === 0;
const commands =
  'sh ls cat id mount true hostname ip ps stat touch rm mkdir sleep kill echo grep readlink wc find mv ln chmod chown nc env pwd dd head sync tr sort setsid mknod su test seq date nproc';

/** Labs for root (where the tests run as root) and an ordinary user (where there is one), until the file's tests ended. */
export async function useLabs(): Promise<Lab[]> {
  const labs = existsSync('/bin/busybox') ? await openLabs() : [];
  test.skipIf(labs.length > 0)('steps can be run (needs a static /bin/busybox)', () => {});
  afterAll(async () => {
    for (const lab of labs) await lab.close();
  });
  return labs;
}

/** A lab of a user without subordinate ids, which only root can be: it has its own id alone. */
export async function useSingleIdLab(): Promise<Lab | undefined> {
  if (!isRoot || !existsSync('/bin/busybox')) return undefined;
  const lab = openLab('user', await bundleRunner(), 65533, 65533);
  afterAll(() => lab.close());
  return lab;
}

export function shell(lab: Lab, script: string, spec: Partial<StepSpec> = {}): Promise<Outcome> {
  return lab.run({ args: ['sh', '-c', script], ...spec });
}

/** What the script prints, as lines; it must succeed. */
export async function lines(lab: Lab, script: string, spec: Partial<StepSpec> = {}): Promise<string[]> {
  const { error, stderr, exit, stdout } = await shell(lab, script, spec);
  expect({ error, stderr, code: exit?.exitCode }).toEqual({ error: undefined, stderr: '', code: 0 });
  return stdout.trimEnd().split('\n');
}

async function openLabs(): Promise<Lab[]> {
  const user = isRoot ? lookupUser('tsbuild-test') : userInfo();
  const runner = await bundleRunner();
  return [
    ...(isRoot ? [openLab('root', runner, 0, 0)] : []),
    ...(user ? [openLab('user', runner, user.uid, user.gid)] : []),
  ];
}

function lookupUser(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return undefined;
  }
}

async function bundleRunner(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-runner-'));
  chmodSync(dir, 0o755);
  afterAll(() => rmSync(dir, { recursive: true }));
  const outfile = join(dir, 'runner.mjs');
  await build({
    entryPoints: [resolve(import.meta.dirname, 'step-runner.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'error',
  });
  return outfile;
}

function openLab(name: Lab['name'], program: string, uid: number, gid: number): Lab {
  const dir = mkdtempSync(join(tmpdir(), `tsbuild-lab-${name}-`));
  chmodSync(dir, 0o755);
  let count = 0;
  const layer = (fill: (dir: string) => void): string => {
    const made = join(dir, `layer${count++}`);
    mkdirSync(made);
    fill(made);
    if (isRoot && uid !== 0) ownTree(made, uid, gid);
    return made;
  };
  const base = layer(fillBase);
  const prepare = (spec: Partial<StepSpec>): StepSpec => {
    const scratchDir = join(dir, `scratch${count++}`);
    mkdirSync(scratchDir);
    if (isRoot) chownSync(scratchDir, uid, gid);
    return { ...defaults, layers: [{ kind: 'tree', dir: base }], scratchDir, ...spec };
  };
  const runner = openRunner(startRunner(program, uid, gid, {}));
  return {
    name,
    uid,
    gid,
    dir,
    base,
    layer,
    run: async (partial, options = {}) => {
      const spec = prepare(partial);
      const reply = await runner.run({ id: count++, spec, ...options });
      const upper = join(spec.scratchDir, 'upper');
      return { ...reply, scratchDir: spec.scratchDir, upper: existsSync(upper) ? listTree(upper) : [] };
    },
    start: (partial) => {
      const spec = prepare(partial);
      const manager = startRunner(program, uid, gid, { STEP_FOLLOW: '1' });
      manager.stdin!.write(`${JSON.stringify({ id: 0, spec })}\n`);
      return { manager, scratchDir: spec.scratchDir };
    },
    close: async () => {
      runner.close();
      const host = await openHost(); // some files may belong to subordinate ids
      await host.remove([dir]);
      await host.close();
    },
  };
}

function ownTree(path: string, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) ownTree(child, uid, gid);
    else lchownSync(child, uid, gid);
  }
}

function startRunner(program: string, uid: number, gid: number, env: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [program], {
    ...(isRoot ? { uid, gid } : {}),
    cwd: '/',
    env: { PATH: process.env.PATH, TSBUILD_NATIVE_DIR: resolve(import.meta.dirname, '../../native/build'), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

interface Runner {
  run(request: RunnerRequest): Promise<RunnerReply>;
  close(): void;
}

function openRunner(child: ChildProcess): Runner {
  const waiting = new Map<number, { resolve(reply: RunnerReply): void; reject(error: Error): void }>();
  let complaint = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    complaint += chunk;
  });
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const reply = JSON.parse(line) as RunnerReply;
    waiting.get(reply.id)?.resolve(reply);
    waiting.delete(reply.id);
  });
  child.once('close', () => {
    for (const { reject } of waiting.values()) reject(new Error(`the runner failed: ${complaint}`));
  });
  return {
    run: (request) =>
      new Promise((resolveReply, reject) => {
        waiting.set(request.id, { resolve: resolveReply, reject });
        child.stdin!.write(`${JSON.stringify(request)}\n`);
      }),
    close: () => child.stdin!.end(),
  };
}

const defaults: Omit<StepSpec, 'layers' | 'scratchDir'> = {
  args: ['/bin/true'],
  env: ['PATH=/bin'],
  cwd: '/',
  uid: 0,
  gid: 0,
  groups: [],
  hostname: 'step',
  network: 'none',
  stacks: [],
  mounts: [],
  cgroups: [],
  limits: [],
  confined: true,
  shmSizeBytes: 64 << 20,
  stdin: 'null',
};

function fillBase(dir: string): void {
  mkdirSync(join(dir, 'bin'));
  mkdirSync(join(dir, 'tmp'));
  chmodSync(join(dir, 'tmp'), 0o1777);
  copyFileSync('/bin/busybox', join(dir, 'bin/busybox'));
  chmodSync(join(dir, 'bin/busybox'), 0o755);
  for (const command of commands.split(' ')) symlinkSync('busybox', join(dir, 'bin', command));
}

function listTree(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
}
