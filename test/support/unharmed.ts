// What a command that failed or was killed must leave: the store as it was, and nothing of its own anywhere.
import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { output, type Person } from './tsbuild.js';

/** What a person sees of the store. */
export interface Seen {
  readonly tags: readonly string[];
}

export async function seenStore(person: Person): Promise<Seen> {
  const lines = output(await person.run(['images', '--all', '--format', 'json']))
    .trim()
    .split('\n');
  const tags = lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { names: string[]; digest: string });
  return { tags: tags.flatMap(({ names, digest }) => names.map((name) => `${name} ${digest}`)).sort() };
}

/**
 * Asserts that the store holds what it held, that each layer still hashes to its name, that its bill adds up, and that
 * nothing unfinished lies in it. Removal in the background may take a moment.
 */
export async function assertStoreUnharmed(person: Person, before: Seen): Promise<void> {
  assert.deepEqual(await seenStore(person), before);
  await assertNothingUnfinished(person);
  for (const hex of readdirSync(join(person.store, 'layers/sha256'))) {
    assert.equal(await sha256(join(person.store, 'layers/sha256', hex, 'tar')), hex);
  }
  const usage = JSON.parse(output(await person.run(['df', '--format', 'json']))) as Record<string, number>;
  const { layerBytes = -1, treeBytes = -1, blobBytes = -1, otherBytes = -1, totalBytes } = usage;
  assert(Math.min(layerBytes, treeBytes, blobBytes, otherBytes) >= 0, JSON.stringify(usage));
  assert.equal(totalBytes, layerBytes + treeBytes + blobBytes + otherBytes);
}

async function assertNothingUnfinished({ store }: Person): Promise<void> {
  const left = (): string[] =>
    ['tmp', 'trash'].flatMap((dir) => readdirSync(join(store, dir)).map((name) => `${dir}/${name}`));
  for (let tries = 0; tries < 100 && left().length > 0; tries++) await sleep(20);
  assert.deepEqual(left(), []);
}

/** Asserts that nothing of the process `pid`, which ran a step, is left: no process, mount or cgroup. */
export async function assertNothingRuns(person: Person, pid: number, marker: string): Promise<void> {
  const left = (): string[] => [...processesWith(marker), ...mountsOf(person), ...cgroupsOf(pid)];
  for (let tries = 0; tries < 100 && left().length > 0; tries++) await sleep(20);
  assert.deepEqual(left(), []);
}

/** Command lines that contain `marker`, our own tests' aside. */
export function processesWith(marker: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => `${pid} ${readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`)
    .filter((line) => line.includes(marker));
}

function mountsOf({ store }: Person): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${store}/`));
}

function cgroupsOf(pid: number): string[] {
  const root = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((dir) => existsSync(join(dir, 'cgroup.procs')));
  if (root === undefined) return [];
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.includes(`tsbuild-${pid}-`) && !/tsbuild-[^/]*\//.test(path),
  );
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
