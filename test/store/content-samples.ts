// Stores, layers and other processes for the tests of store/content.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, createReadStream, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll } from 'vitest';
import { type DiffId, type Lease, openLease, openStore, parseDiffId, type Store, type StoreOptions } from '#store';

export const isRoot = process.getuid?.() === 0;

const cleanups: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

export function whenDone(cleanup: () => Promise<void> | void): void {
  cleanups.push(cleanup);
}

export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'store-content-'));
  whenDone(() => void execFileSync('rm', ['-rf', dir])); // node's own can't remove paths beyond 4095 bytes
  return dir;
}

export async function openTemp(
  dir = join(tempDir(), 'store'),
  options: StoreOptions = {},
): Promise<{ store: Store; lease: Lease }> {
  const store = await openStore(dir, options);
  const lease = await openLease(store, 'test');
  whenDone(async () => {
    await lease.release();
    await store.close();
  });
  return { store, lease };
}

export interface SampleTar {
  readonly path: string;
  readonly diffId: DiffId;
}

/** A tar with some small files, and one of `megabytes` that compresses by half. */
export function sampleTar(seed: string, megabytes = 0): SampleTar {
  const dir = tempDir();
  mkdirSync(join(dir, 'root/etc'), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(join(dir, `root/etc/file${i}`), `${seed} ${i}\n`.repeat(i * 10));
  if (megabytes > 0) {
    const block = createHash('sha512')
      .update(seed)
      .digest('base64')
      .repeat(12000)
      .slice(0, 1 << 20);
    const noise = Array.from(
      { length: megabytes },
      (_, i) => createHash('sha512').update(`${seed}${i}`).digest('base64') + block,
    );
    writeFileSync(join(dir, 'root/large'), noise.join(''));
  }
  const path = join(dir, 'layer.tar');
  execFileSync('tar', ['-C', join(dir, 'root'), '--sort=name', '--mtime=@1700000000', '-cf', path, '.']);
  return { path, diffId: parseDiffId(`sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}`) };
}

export function bytesOf(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 1 << 16 });
}

/** What a power cut may do: the right name and size, and zeros where bytes should be. */
export function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0, 0, Math.min(bytes.length, 2048));
  writeFileSync(path, bytes);
}

/** A program of its own, bundled from TypeScript, that does `work` to a store. */
export async function workerProgram(): Promise<string> {
  const outdir = tempDir();
  chmodSync(outdir, 0o755);
  await build({
    entryPoints: [join(import.meta.dirname, 'content-worker.ts')],
    outfile: join(outdir, 'worker.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi', 'libsql'],
    logLevel: 'error',
  });
  execFileSync('ln', ['-s', join(import.meta.dirname, '../../node_modules'), join(outdir, 'node_modules')]);
  return join(outdir, 'worker.mjs');
}

export function startWorker(program: string, args: readonly string[], user: Partial<User> = {}): ChildProcess {
  const env = { ...process.env, TSBUILD_NATIVE_DIR: join(import.meta.dirname, '../../native/build') };
  return spawn(process.execPath, [program, ...args], { env, cwd: '/', ...user, stdio: ['ignore', 'pipe', 'inherit'] });
}

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** An ordinary user with subordinate ids: the one that tests run as, or the one that setup made. */
export function ordinaryUser(): User | null {
  if (!isRoot) return userInfo();
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, 'tsbuild-test'], { stdio: 'pipe' }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return null;
  }
}

/** What a worker printed, and how it ended. */
export function outcome(child: ChildProcess): Promise<{ readonly code: number | null; readonly output: string }> {
  let output = '';
  child.stdout?.on('data', (text: Buffer) => {
    output += text.toString();
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}
