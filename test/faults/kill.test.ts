// kill -9 at random moments of commands that work on one store at once: no tag is lost or half-moved, and nothing is left.
import assert from 'node:assert';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { leftovers } from './check-store.js';
import { amount, newSeed, Random } from './random.js';
import { TagModel } from './tag-model.js';

const command = join(import.meta.dirname, '../../bin/tsbuild');
const kills = amount(520, 5000);
const hands = 6;
/** After so many kills everybody stops for a moment, and all is checked. */
const batch = 65;
const seed = newSeed();

let dir: string;
let storeDir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsbuild-kill-'));
  storeDir = join(dir, 'store');
});
afterAll(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));

function start(args: readonly string[], store = storeDir): ChildProcess {
  const env = { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: store, SOURCE_DATE_EPOCH: '1' };
  return spawn(command, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function endOf(child: ChildProcess): Promise<End> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })));
}

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await endOf(start(args));
  assert.equal(code, 0, `tsbuild ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** What one command does to one tag; `value` is the digest that it gives it, null if it takes it away. */
interface Move {
  readonly args: readonly string[];
  readonly tag: string | null;
  readonly value: string | null;
}

test.skipIf(!hasRegistry())(`${kills} kills (seed ${seed})`, { timeout: 3_600_000 }, async () => {
  const registry = await startRegistry();
  const sources = await prepare(registry.name);
  const model = new TagModel();
  for (const [tag, digest] of await tagsNow()) model.promised(tag, digest);
  const random = new Random(seed);
  const counts = { kills: 0, ended: 0 };
  const started: ChildProcess[] = [];

  const move = (hand: number): Move => {
    const mine = `hand${hand}:${random.below(2)}`;
    const source = random.pick(sources);
    const from = random.pick(sources);
    return random.pick<Move>([
      { args: ['-q', '-t', mine, '-f', source.buildfile, 'context'], tag: mine, value: source.digest },
      { args: ['-q', '--no-cache', '-t', mine, '-f', source.buildfile, 'context'], tag: mine, value: source.digest },
      { args: ['pull', '-q', `${registry.name}/app:${from.number}`, '-t', mine], tag: mine, value: from.pushed },
      { args: ['push', '-q', from.name, `${registry.name}/pushed:${random.below(3)}`], tag: null, value: null },
      { args: ['load', '-q', '-i', `saved${from.number}.tar`], tag: from.name, value: from.digest },
      { args: ['tag', from.name, mine], tag: mine, value: from.digest },
      { args: ['rmi', mine], tag: mine, value: null },
      { args: ['import', '-q', 'files.tar', '--platform', 'linux/amd64', '-t', mine], tag: mine, value: imported },
    ]);
  };
  const imported = (await done('import', '-q', 'files.tar', '--platform', 'linux/amd64', '-t', 'imported:1')).trim();
  model.promised('imported:1', imported);

  const act = async ({ args, tag, value }: Move, killWithinMs: number): Promise<void> => {
    if (tag !== null) model.begins(tag, value);
    const child = start(args);
    started.push(child);
    const killed = random.chance(0.85);
    const ended = endOf(child);
    // In the end it has said what it did, and may not have left yet: that moment is as good as any.
    if (killed) setTimeout(() => child.kill('SIGKILL'), random.next() * killWithinMs);
    const { code, signal, stderr } = await ended;
    if (signal === 'SIGKILL') {
      counts.kills++;
      return;
    }
    counts.ended++;
    const missing = args[0] === 'rmi' && /IMAGE_NOT_FOUND/.test(stderr);
    assert(code === 0 || missing, `tsbuild ${args.join(' ')} ended with ${code}: ${stderr}`);
    if (tag !== null && code === 0) model.promised(tag, value);
  };

  const typicalMs = await typical();
  while (counts.kills < kills) {
    const until = counts.kills + batch;
    const hand = async (number: number): Promise<void> => {
      while (counts.kills < until) await act(move(number), typicalMs * 1.5);
    };
    const collector = async (): Promise<void> => {
      while (counts.kills < until) {
        await act({ args: ['gc', ...(random.chance(0.5) ? ['--all'] : [])], tag: null, value: null }, typicalMs);
      }
    };
    await Promise.all([...Array.from({ length: hands }, (_, i) => hand(i)), collector()]);
    model.check(await tagsNow());
    await done('fsck');
  }
  await done('fsck', '--read-data');
  model.check(await tagsNow());
  // What was imported has no program in it.
  for (const [tag, digest] of await tagsNow()) if (digest !== imported) await runsAll(tag);
  for (const tag of (await tagsNow()).keys()) await done('rmi', tag);
  await done('gc', '--all');
  expect(await leftovers(storeDir)).toEqual([]);
  for (const place of ['layers/sha256', 'blobs/sha256', 'tags', 'trees']) {
    expect(readdirSync(join(storeDir, place))).toEqual([]);
  }
  await nothingRuns(started);
  // What reached the registry is whole.
  for (const number of [0, 1, 2]) {
    const { code, stderr } = await endOf(
      start(['pull', '-q', `${registry.name}/pushed:${number}`], join(dir, 'other')),
    );
    assert(code === 0 || /MANIFEST_UNKNOWN|NOT_FOUND|not found|has no/i.test(stderr), stderr);
  }
  console.log(`seed ${seed}: ${counts.kills} killed, ${counts.ended} ended by themselves`);
});

interface Source {
  readonly number: number;
  readonly name: string;
  readonly buildfile: string;
  readonly digest: string;
  /** As it comes back from the registry, compressed. */
  readonly pushed: string;
}

/** Some images that nobody moves, the Buildfiles that make them again, archives of them, and the same in the registry. */
async function prepare(registry: string): Promise<Source[]> {
  const context = join(dir, 'context');
  mkdirSync(context);
  cpSync('/bin/busybox', join(context, 'busybox'));
  writeFileSync(join(context, 'Base'), 'FROM scratch\nCOPY busybox /bin/sh\n');
  execFileSync('tar', ['-C', context, '-cf', join(dir, 'files.tar'), 'Base']);
  await done('-q', '-t', 'base:1', '-f', 'context/Base', 'context');
  const sources: Source[] = [];
  for (const number of [0, 1, 2]) {
    const [name, buildfile] = [`source${number}:1`, `context/Source${number}`];
    const step = 'RUN echo made > /made && head -c 300000 /dev/zero > /zeros && touch -d @1 /made /zeros /';
    writeFileSync(
      join(dir, buildfile),
      `FROM base:1\nCOPY Source${number} /here\n${step}\nCMD ["sh", "-c", "cat /made"]\n`,
    );
    const digest = (await done('-q', '-t', name, '-f', buildfile, 'context')).trim();
    await done('push', '-q', name, `${registry}/app:${number}`);
    await done('save', '-o', `saved${number}.tar`, name);
    const pushed = (await done('pull', '-q', `${registry}/app:${number}`, '-t', `pulled${number}:1`)).trim();
    sources.push({ number, name, buildfile, digest, pushed });
  }
  return sources;
}

/** Digests by familiar names. */
async function tagsNow(): Promise<Map<string, string>> {
  const lines = (await done('images', '--all', '--format', 'json')).trim().split('\n').filter(Boolean);
  const images = lines.map((line) => JSON.parse(line) as { digest: string; names: string[] });
  return new Map(images.flatMap(({ digest, names }) => names.map((name) => [name, digest] as const)));
}

async function typical(): Promise<number> {
  const began = performance.now();
  await done('-q', '--no-cache', '-f', 'context/Source0', 'context');
  return performance.now() - began;
}

async function runsAll(tag: string): Promise<void> {
  if (tag.startsWith('base')) return;
  assert.equal(await done('run', tag), 'made\n', tag);
}

/** No process of the store, no mount in it, no cgroup of a process that was killed. */
async function nothingRuns(started: readonly ChildProcess[]): Promise<void> {
  const left = (): string[] => {
    const processes = readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return words.includes(storeDir) ? [words] : [];
      } catch {
        return [];
      }
    });
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    return [...processes, ...mounts.filter((line) => line.includes(`${storeDir}/`))];
  };
  for (let tries = 0; tries < 200 && left().length > 0; tries++) await sleep(25);
  expect(left()).toEqual([]);
  const pids = new Set(started.map(({ pid }) => String(pid)));
  const groups = cgroups().filter((path) => pids.has(/\/?tsbuild-(\d+)-[^/]*$/.exec(path)?.[1] ?? ''));
  expect(groups).toEqual([]);
}

function cgroups(): string[] {
  if (!existsSync('/sys/fs/cgroup')) return [];
  try {
    return readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' });
  } catch {
    return cgroups(); // one of somebody else's went meanwhile
  }
}
