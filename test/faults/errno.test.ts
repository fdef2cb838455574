// Calls into the kernel that fail, one at a time, at every place where a command touches the store: one clear error (or
// none, where nobody needs the call), the store as before, and the next run succeeds.
import assert from 'node:assert';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leftovers } from './check-store.js';
import { type CallKind, type errnos, type Fault, type FaultyRun, runWithFault } from './fail-call.js';
import { type Lab, makeLab, type Operation, operationNames } from './operations.js';
import { amount, newSeed, Random } from './random.js';

type Errno = keyof typeof errnos;

const faults: readonly (readonly [CallKind, readonly Errno[]])[] = [
  ['open', ['EIO', 'EMFILE', 'ENOSPC', 'EDQUOT', 'EROFS']],
  ['write', ['EIO', 'ENOSPC', 'EDQUOT']],
  ['sync', ['EIO', 'ENOSPC', 'EDQUOT']],
  ['name', ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS']],
  ['remove', ['EIO', 'EROFS']],
];
/** Of the places of one kind in one command, so many are tried with each error. */
const placesEach = amount(1, Number.POSITIVE_INFINITY);
const seed = newSeed();

let lab: Lab;
beforeAll(() => {
  lab = makeLab();
});
afterAll(() => lab.remove());

describe(`seed ${seed}`, () => {
  for (const name of operationNames) {
    test(`${name}, with calls that fail`, { timeout: 3_600_000 }, async () => {
      const operation = lab.operation(name);
      const random = new Random(seed);
      const wrong: string[] = [];
      let count = 0;
      for (const [kind, codes] of faults) {
        const calls = await callsOf(operation, kind);
        for (const code of codes) {
          const places = random.shuffled(calls.map((_, i) => i + 1)).slice(0, placesEach);
          for (const at of places) {
            count++;
            const fault: Fault = { kinds: [kind], at, with: code };
            const problem = await tryFault(operation, fault);
            if (problem !== null) wrong.push(`${code} at ${kind} ${at} of ${calls.length}: ${problem}`);
          }
        }
      }
      console.log(`${name}: ${count} calls failed`);
      assert.deepEqual(wrong, []);
    });
  }
});

for (const name of ['meta.db', 'meta.db-wal', 'format.json']) {
  test(`a ${name} that can't be read is an error, and loses nothing`, async () => {
    const dir = lab.store();
    const match = `${dir}/${name}`;
    for (const args of [['images'], ['gc', '--all'], ['tag', 'kept:1', 'other:1']]) {
      const failed = await runWithFault(dir, args, { kinds: ['read'], at: 0, with: 'EIO', match });
      assertClear(failed);
      assert.match(failed.stderr, /^error\[STORE_IO\]: .*input\/output error/m);
    }
    const { stdout } = await runWithFault(dir, ['images', '--format', 'json']);
    for (const tag of ['kept:1', 'moved:1']) assert.match(stdout, new RegExp(`"${tag}"`));
    assert.equal((await runWithFault(dir, ['fsck', '--read-data'])).code, 0);
  });
}

/** What moved:1 is. */
async function moved(dir: string): Promise<string> {
  const { stdout, stderr, code } = await runWithFault(dir, ['images', '--format', 'json']);
  assert.equal(code, 0, stderr);
  const images = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { digest: string; names: string[] });
  return images.find(({ names }) => names.includes('moved:1'))?.digest ?? 'nothing';
}

test('what the disk refuses in the background is given up by the next command, and never flushed again', async () => {
  const dir = lab.store();
  const before = await moved(dir);
  const fault: Fault = { kinds: ['sync'], at: 0, with: 'EIO', match: '/tar', program: 'sync' };
  const { code, hit } = await runWithFault(dir, lab.operation('import').args, fault);
  assert.equal(code, 0, hit.join());
  const failed = (): string[] => readdirSync(join(dir, 'flush')).filter((name) => name.endsWith('.failed'));
  await expect.poll(failed, { timeout: 30_000 }).toHaveLength(1);
  const next = await runWithFault(dir, ['images']);
  assert.equal(next.code, 0);
  assert.match(next.stderr, /^warning\[STORE_IO\]: .*the disk refused .*layers\/sha256\/\w+\/tar\)\nhelp: .*\n$/);
  assert.equal(await moved(dir), before);
  assert.equal((await runWithFault(dir, ['fsck', '--read-data'])).code, 0);
  assert.equal((await runWithFault(dir, lab.operation('import').args)).code, 0);
  assert.notEqual(await moved(dir), before);
});

test('a build that waits for a disk that refuses fails, and its tag stays what it was', async () => {
  const dir = lab.store();
  const before = await moved(dir);
  const { args } = lab.operation('build --sync');
  const { code, stderr } = await runWithFault(dir, args, { kinds: ['sync'], at: 0, with: 'EIO', match: '/tar' });
  assert.equal(code, 1);
  assert.match(stderr, /^error\[STORE_IO\]: store \S+: the disk refused .*layers\/sha256\/\w+\/tar/m);
  assert.equal(await moved(dir), before);
  assert.equal((await runWithFault(dir, args)).code, 0);
  assert.notEqual(await moved(dir), before);
  assert.equal((await runWithFault(dir, ['fsck', '--read-data'])).code, 0);
});

/** What the command does when nothing fails. */
async function callsOf({ args }: Operation, kind: CallKind): Promise<readonly string[]> {
  const dir = lab.store();
  try {
    const { hit, code, stderr } = await runWithFault(dir, args, { kinds: [kind], at: 0, with: 'note' });
    assert.equal(code, 0, stderr);
    return hit;
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Null, or what is wrong with how the command took it. */
async function tryFault({ args, moves }: Operation, fault: Fault): Promise<string | null> {
  const dir = lab.store();
  try {
    const failed = await runWithFault(dir, args, fault);
    if (failed.hit.length === 0) return null; // the order of calls is not always the same
    assertClear(failed);
    const again = await runWithFault(dir, args);
    const gone = moves !== null && args[0] === 'rmi' && /IMAGE_NOT_FOUND/.test(again.stderr);
    assert(again.code === 0 || gone, `the next run: ${again.stderr}`);
    const { stdout } = await runWithFault(dir, ['images', '--format', 'json']);
    assert.match(stdout, /"kept:1"/, 'kept:1 is lost');
    const checked = await runWithFault(dir, ['fsck', '--read-data']);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    const collected = await runWithFault(dir, ['gc']);
    assert.equal(collected.code, 0, collected.stderr);
    assert.deepEqual(await leftovers(dir), []);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
  }
}

function assertClear({ code, signal, stderr, hit }: FaultyRun): void {
  const said = `${hit[0]}: ${stderr}`;
  assert.equal(signal, null, said);
  if (code === 0) return;
  assert.equal(code, 1, said);
  assert.equal(stderr.match(/^error\[[A-Z_]+\]: /gm)?.length, 1, said);
  assert.match(stderr, /\nhelp: \S/, said);
  assert.doesNotMatch(stderr, /^\s+at |internal error|error\[SYSTEM\]/m, said);
}
