// Eight builders and a collector on one store for minutes, one in ten of them killed: no error, no lost layer, and equal
// builds give equal images.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { leftovers } from './check-store.js';
import { amount, newSeed, Random } from './random.js';

const command = join(import.meta.dirname, '../../bin/tsbuild');
const seconds = amount(15, 300);
const builders = 8;
const kinds = 4;
const seed = newSeed();
const dir = mkdtempSync(join(tmpdir(), 'tsbuild-builders-'));
const store = join(dir, 'store');
afterAll(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], killAfterMs?: number): Promise<End> {
  const env = { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: store, SOURCE_DATE_EPOCH: '1' };
  const child = spawn(command, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })));
}

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  assert.equal(code, 0, `tsbuild ${args.join(' ')}: ${stderr}`);
  return stdout;
}

test(`${builders} builders and a collector for ${seconds} s (seed ${seed})`, { timeout: 3_600_000 }, async () => {
  const context = join(dir, 'context');
  mkdirSync(context);
  cpSync('/bin/busybox', join(context, 'busybox'));
  for (let kind = 0; kind < kinds; kind++) {
    const made = `echo ${kind} > /made && head -c 500000 /dev/zero > /zeros && touch -d @1 /made /zeros /`;
    writeFileSync(
      join(context, `Kind${kind}`),
      `FROM scratch\nCOPY busybox /bin/sh\nRUN echo common > /common && touch -d @1 /common /\nRUN ${made}\nCOPY Kind${kind} /\n` +
        'CMD ["sh", "-c", "cat /common /made"]\n',
    );
  }
  const random = new Random(seed);
  const digests = new Map<number, string>();
  const counts = { builds: 0, runs: 0, kills: 0, collections: 0 };
  const until = performance.now() + seconds * 1000;
  const building = async (number: number): Promise<void> => {
    while (performance.now() < until) {
      const kind = random.below(kinds);
      const tag = `builder${number}:${kind}`;
      const fresh = random.chance(0.4) ? ['--no-cache'] : [];
      const args = ['-q', ...fresh, '-t', tag, '-f', `context/Kind${kind}`, 'context'];
      const { code, signal, stdout, stderr } = await run(args, random.chance(0.1) ? random.below(400) : undefined);
      if (signal === 'SIGKILL') {
        counts.kills++;
        continue;
      }
      assert.equal(code, 0, stderr);
      counts.builds++;
      const known = digests.get(kind) ?? stdout;
      digests.set(kind, known);
      assert.equal(stdout, known, `two images of ${tag}`);
      if (random.chance(0.3)) {
        assert.equal(await done('run', tag), `common\n${kind}\n`);
        counts.runs++;
      }
      if (random.chance(0.2)) await done('rmi', tag);
    }
  };
  const collecting = async (): Promise<void> => {
    for (; performance.now() < until; counts.collections++) {
      await done('gc', ...(random.chance(0.5) ? ['--all'] : []));
    }
  };
  await Promise.all([...Array.from({ length: builders }, (_, i) => building(i)), collecting()]);
  await done('fsck', '--read-data');
  // One image of a kind, however often it was built; its layers once.
  const listed = (await done('images', '--all', '--format', 'json')).trim().split('\n').filter(Boolean);
  const images = listed.map((line) => JSON.parse(line) as { digest: string; names: string[] });
  for (const { names, digest } of images) {
    for (const name of names) {
      assert.equal(`${digest}\n`, digests.get(Number(name.split(':')[1])));
      await done('run', name);
    }
  }
  await done('gc', '--all');
  expect(await leftovers(store)).toEqual([]);
  expect(readdirSync(join(store, 'layers/sha256')).length).toBeLessThanOrEqual(2 + 2 * kinds);
  for (const { names } of images) if (names.length > 0) await done('rmi', ...names);
  await done('gc', '--all');
  for (const place of ['layers/sha256', 'blobs/sha256', 'trees']) expect(readdirSync(join(store, place))).toEqual([]);
  console.log(`seed ${seed}: ${JSON.stringify(counts)}`);
});
