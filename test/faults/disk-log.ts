// Power cuts: a file system on a loop device whose writes and flushes are all remembered, and disks as they would be if the
// power had gone at any moment of that. Kept is what was flushed, and any part of what was written since.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { compiled } from './c-program.js';
import type { Random } from './random.js';

export type FileSystem = 'ext4' | 'xfs';

const sectorBytes = 512;
const diskBytes: Readonly<Record<FileSystem, number>> = { ext4: 96 << 20, xfs: 320 << 20 };

/** Much of what ext4 writes by itself it writes every few seconds; here, every second. */
const mountOptions: Readonly<Record<FileSystem, string>> = { ext4: 'loop,commit=1', xfs: 'loop' };
/** All copies of a disk have the same id. */
const replayOptions: Readonly<Record<FileSystem, string>> = { ext4: 'loop', xfs: 'loop,nouuid' };

export type Entry =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'flush' }
  | { readonly kind: 'mark'; readonly text: string };

/** What became of the disk, from its first byte on. */
export interface DiskLog {
  readonly fileSystem: FileSystem;
  readonly entries: readonly Entry[];
}

/** Runs `work` on a file system mounted at `dir`; `mark` notes that something is so by now. */
export async function recordDisk(
  fileSystem: FileSystem,
  work: (dir: string, mark: (text: string) => void) => Promise<void>,
): Promise<DiskLog> {
  const scratch = await mkdtemp(join(tmpdir(), 'tsbuild-power-'));
  const [fuse, dir, log] = ['fuse', 'mounted', 'log'].map((name) => join(scratch, name)) as [string, string, string];
  await mkdir(fuse);
  await mkdir(dir);
  const flags = ['-I/usr/include/fuse3', '-lfuse3'];
  const daemon = spawn(compiled('write-log', flags), [log, String(diskBytes[fileSystem]), fuse], { stdio: 'inherit' });
  try {
    while (!existsSync(join(fuse, 'disk'))) await sleep(10);
    makeFileSystem(fileSystem, join(fuse, 'disk'));
    execFileSync('mount', ['-o', mountOptions[fileSystem], join(fuse, 'disk'), dir]);
    const mark = openSync(join(fuse, 'mark'), 'w');
    await work(dir, (text) => void writeSync(mark, text));
    closeSync(mark);
    await unmount(dir);
    return { fileSystem, entries: parseLog(readFileSync(log)) };
  } finally {
    await end(daemon, fuse, dir);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Disks as power cuts leave them. */
export class Replay {
  readonly #log: DiskLog;
  readonly #disk: Buffer;
  #at = 0;

  constructor(log: DiskLog) {
    this.#log = log;
    this.#disk = Buffer.alloc(diskBytes[log.fileSystem]);
  }

  /** The disk if the power went before entry `at`. Points are asked for in ascending order. */
  prefix(at: number): Buffer {
    this.#advance(at);
    return this.#disk;
  }

  /** As `prefix`, but of what was not flushed only some reached the disk, in any order, and some of it in part. */
  reordered(at: number, random: Random): Buffer {
    const { entries } = this.#log;
    let flushed = at;
    while (flushed > 0 && entries[flushed - 1]?.kind !== 'flush') flushed--;
    const disk = new Replay(this.#log).prefix(flushed);
    for (const entry of random.shuffled(entries.slice(flushed, at))) {
      if (entry.kind !== 'write' || random.chance(0.4)) continue;
      const sectors = Math.ceil(entry.bytes.length / sectorBytes);
      const kept = random.chance(0.3) ? random.below(sectors) * sectorBytes : entry.bytes.length;
      entry.bytes.copy(disk, entry.offset, 0, kept);
    }
    return disk;
  }

  #advance(at: number): void {
    for (; this.#at < at; this.#at++) {
      const entry = this.#log.entries[this.#at];
      if (entry?.kind === 'write') entry.bytes.copy(this.#disk, entry.offset);
    }
  }
}

/** Runs `check` on the disk as after the reboot, when the file system has replayed its journal; false if it can't be mounted. */
export async function withDisk(
  fileSystem: FileSystem,
  disk: Buffer,
  check: (dir: string) => Promise<void>,
): Promise<boolean> {
  const scratch = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tsbuild-power-'));
  const [image, dir] = [join(scratch, 'disk'), join(scratch, 'mounted')];
  await mkdir(dir);
  try {
    writeSparse(image, disk);
    try {
      execFileSync('mount', ['-o', replayOptions[fileSystem], image, dir], { stdio: 'pipe' });
    } catch {
      return false;
    }
    try {
      await check(dir);
      await unmount(dir);
    } catch (error) {
      execFileSync('umount', ['-l', dir]);
      throw error;
    }
    return true;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function makeFileSystem(fileSystem: FileSystem, disk: string): void {
  if (fileSystem === 'xfs') execFileSync('mkfs.xfs', ['-q', '-f', '-K', disk]);
  else execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', '-J', 'size=4', '-E', 'nodiscard,lazy_itable_init=0', disk]);
}

/** SQLite lets go of its files when the engine's objects are collected, and so does whoever removes in the background. */
async function unmount(dir: string): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let tries = 0; ; tries++) {
    collect();
    try {
      execFileSync('umount', [dir], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (tries > 500) throw error;
      await sleep(10);
    }
  }
}

async function end(daemon: ChildProcess, fuse: string, dir: string): Promise<void> {
  for (const each of [dir, fuse]) {
    try {
      execFileSync('umount', ['-l', each], { stdio: 'pipe' });
    } catch {
      // Not mounted (any more).
    }
  }
  if (daemon.exitCode !== null) return;
  const ended = new Promise((resolve) => daemon.once('close', resolve));
  daemon.kill();
  await ended;
}

function parseLog(log: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < log.length; ) {
    const [kind, length] = [log.readUInt32LE(at), log.readUInt32LE(at + 4)];
    const offset = Number(log.readBigUInt64LE(at + 8));
    const bytes = log.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    if (kind === 1) entries.push({ kind: 'write', offset, bytes });
    else if (kind === 2) entries.push({ kind: 'flush' });
    else entries.push({ kind: 'mark', text: bytes.toString() });
  }
  return entries;
}

/** Most of a disk is zeros. */
function writeSparse(path: string, disk: Buffer): void {
  const chunk = 64 << 10;
  const zeros = Buffer.alloc(chunk);
  writeFileSync(path, '');
  const file = openSync(path, 'r+');
  try {
    for (let at = 0; at < disk.length; at += chunk) {
      const bytes = disk.subarray(at, at + chunk);
      if (!bytes.equals(zeros.subarray(0, bytes.length))) writeSync(file, bytes, 0, bytes.length, at);
    }
    if (statSync(path).size < disk.length) writeSync(file, Buffer.from([0]), 0, 1, disk.length - 1);
  } finally {
    closeSync(file);
  }
}
