// The life of a store that power cuts are made of: images come, get names, lose them, and are collected. Each tag is given one
// value after the other; what was promised about it is noted in the log of the disk.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { collectGarbage, formatReference, openLease, openStore, parseReference, tagImage, untag } from '#store';
import { sampleImage } from '../store/image-samples.js';
import type { DiskLog } from './disk-log.js';
import type { Random } from './random.js';
import { TagModel } from './tag-model.js';

const command = join(import.meta.dirname, '../../bin/tsbuild');
const tags = ['app:1', 'app:2', 'app:3'];

interface Note {
  readonly id: number;
  readonly what: 'begins' | 'ends';
  /** '' of a collection. */
  readonly tag: string;
  /** Null: the tag goes. Undefined: not known yet. */
  readonly digest?: string | null;
  /** Whoever did it waited for the disk. */
  readonly durable?: boolean;
}

/** What tags may be if the power goes before entry `at`. Only what waited for the disk is promised. */
export function modelAt(log: DiskLog, at: number): TagModel {
  const notes = log.entries.map((entry) => (entry.kind === 'mark' ? (JSON.parse(entry.text) as Note) : null));
  const results = new Map(notes.flatMap((note) => (note?.what === 'ends' ? [[note.id, note.digest ?? null]] : [])));
  const model = new TagModel();
  for (const note of notes.slice(0, at)) {
    if (note === null || note.tag === '') continue;
    const digest = results.get(note.id) ?? null;
    if (note.what === 'begins') model.begins(formatReference(parseReference(note.tag)), digest);
    else if (note.durable) model.promised(formatReference(parseReference(note.tag)), digest);
  }
  return model;
}

/** The entries of the log between the beginning and the end of each collection. */
export function collectionsIn({ entries }: DiskLog): number[] {
  let collecting = false;
  return entries.flatMap((entry, at) => {
    const note = entry.kind === 'mark' ? (JSON.parse(entry.text) as Note) : null;
    if (note?.tag === '') collecting = note.what === 'begins';
    return collecting ? [at + 1] : [];
  });
}

/** Lives in `dir` for so many rounds. @param scratch for contexts, on another disk */
export async function live(
  dir: string,
  scratch: string,
  options: { readonly rounds: number; readonly random: Random; readonly mark: (text: string) => void },
): Promise<void> {
  const { rounds, random } = options;
  const other = busyNeighbour(dir);
  let last = 0;
  const noted = async (tag: string, durable: boolean, act: () => Promise<string | null>): Promise<void> => {
    const id = ++last;
    options.mark(JSON.stringify({ id, what: 'begins', tag } satisfies Note));
    const digest = await act();
    options.mark(JSON.stringify({ id, what: 'ends', tag, digest, durable } satisfies Note));
  };
  for (let round = 0; round < rounds; round++) {
    const tag = random.pick(tags);
    const durable = random.chance(0.4);
    await noted(tag, durable, () => importImage(dir, tag, `${round}`, durable));
    if (random.chance(0.7)) {
      const built = random.pick(['built:1', tag]);
      const waits = random.chance(0.3);
      await noted(built, waits, async () => build(dir, scratch, built, `${round}`, waits));
    }
    if (random.chance(0.4)) {
      const gone = random.pick(tags);
      await noted(gone, false, () => removeTag(dir, gone));
    }
    if (random.chance(0.3)) execFileSync('sync', ['-f', dir]);
    if (random.chance(0.6)) await noted('', false, () => collect(dir));
    // Those who flush in the background may be done by then, or not.
    await sleep(random.below(250));
  }
  await other.end();
}

/** Flushes a file of its own all the time: so file systems write their journals at any moment, whoever else is at work. */
function busyNeighbour(dir: string): { end(): Promise<void> } {
  const script = 'cd "$0" && while sleep 0.01; do echo noise > noise; sync noise; done';
  const child = spawn('sh', ['-c', script, dirname(dir)], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    end: () => {
      child.kill();
      return ended;
    },
  };
}

export async function importImage(dir: string, tag: string, seed: string, sync: boolean): Promise<string> {
  const store = await openStore(dir, { sync });
  const lease = await openLease(store, 'import');
  const { digest } = await sampleImage({ store, lease }, seed);
  tagImage(store, tag, digest);
  await lease.release();
  await store.close();
  return digest;
}

function build(dir: string, scratch: string, tag: string, seed: string, sync: boolean): string {
  const context = join(scratch, 'context');
  mkdirSync(context, { recursive: true });
  if (!existsSync(join(context, 'busybox'))) cpSync('/bin/busybox', join(context, 'busybox'));
  writeFileSync(join(context, 'seed'), seed);
  writeFileSync(
    join(context, 'Buildfile'),
    'FROM scratch\nCOPY busybox /bin/sh\nCOPY seed /\nRUN echo made of $(cat /seed) > /made\n',
  );
  const args = ['--store', dir, '-q', '-t', tag, ...(sync ? ['--sync'] : []), context];
  return execFileSync(command, args, { encoding: 'utf8' }).trim();
}

export async function removeTag(dir: string, tag: string): Promise<null> {
  const store = await openStore(dir);
  untag(store, tag);
  await store.close();
  return null;
}

async function collect(dir: string): Promise<null> {
  const store = await openStore(dir);
  await collectGarbage(store, { policies: [{}] });
  await store.close();
  return null;
}
