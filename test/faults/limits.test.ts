// Few file descriptors, clocks that jump, and locks of others, dead or asleep: commands work or say what is wrong, and
// nothing goes early or stays for ever.
import assert from 'node:assert';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leftovers } from './check-store.js';
import { type Lab, makeLab, operationNames } from './operations.js';
import { amount } from './random.js';

const command = join(import.meta.dirname, '../../bin/tsbuild');
const fakeTime = execFileSync('find', ['/usr/lib', '-name', 'libfaketime.so.1'], { encoding: 'utf8' }).split('\n')[0];

let lab: Lab;
beforeAll(() => {
  lab = makeLab();
});
afterAll(() => lab.remove());

interface End {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `tsbuild ARGS` on the store `dir`; `before` is shell that comes first. */
function run(dir: string, args: readonly string[], before = ':', env: Record<string, string> = {}): Promise<End> {
  const own = { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: dir, SOURCE_DATE_EPOCH: '1' };
  const child = spawn('sh', ['-c', `${before}; exec "$0" "$@"`, command, ...args], { env: { ...own, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.end();
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

async function done(...given: Parameters<typeof run>): Promise<string> {
  const { code, stdout, stderr } = await run(...given);
  assert.equal(code, 0, stderr);
  return stdout;
}

describe('with few file descriptors', () => {
  const levels = amount([24, 30, 64], [23, 24, 25, 26, 27, 28, 29, 30, 32, 36, 40, 48, 56, 64, 96, 128, 256]);
  for (const name of operationNames) {
    test(`${name} works, or says what it lacks`, async () => {
      const { args } = lab.operation(name);
      for (const level of levels) {
        const dir = lab.store();
        const { code, stderr } = await run(dir, args, `ulimit -n ${level}`);
        if (code !== 0 && /^error/m.test(stderr)) {
          assert.match(stderr, /^error\[[A-Z_]+\]: .*(too many open files|open files|EMFILE)/im, `${level}: ${stderr}`);
          assert.doesNotMatch(stderr, /error\[INTERNAL\]|^\s+at /m, `${level}: ${stderr}`);
        }
        assert(code === 0 || level < 64, `${level}: ${stderr}`);
        await done(dir, ['fsck', '--read-data']);
        if (name !== 'rmi' || code !== 0) await done(dir, args);
        await done(dir, ['gc']);
        expect(await leftovers(dir)).toEqual([]);
      }
    });
  }
});

for (const offset of ['-366d', '+366d']) {
  test.skipIf(!fakeTime)(`a clock ${offset} off takes nothing early and keeps nothing for ever`, async () => {
    const dir = lab.store();
    const fake = { LD_PRELOAD: fakeTime!, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
    const build = lab.operation('build').args;
    // A command that holds what it uses, with a clock of its own.
    const holder = spawn(command, ['import', '-', '--platform', 'linux/amd64', '-t', 'held:1'], {
      env: { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: dir, ...fake },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    holder.stdin.on('error', () => {});
    holder.stdin.write(Buffer.alloc(100_000, 'a'));
    const unfinished = (): string[] => readdirSync(join(dir, 'tmp')).filter((name) => !name.endsWith('.lock'));
    await expect.poll(() => unfinished().length, { timeout: 20_000 }).toBe(1);
    await done(dir, ['gc']);
    await done(dir, ['gc'], ':', fake);
    expect(unfinished()).toHaveLength(1);
    const ended = new Promise((resolve) => holder.once('close', resolve));
    holder.kill('SIGKILL');
    await ended;
    // What was built by one clock is used and collected by the other.
    const made = await done(dir, build, ':', fake);
    assert.equal(await done(dir, build), made);
    await done(dir, ['gc'], ':', fake);
    await done(dir, ['gc']);
    assert.match(await done(dir, ['images']), /^moved +1 /m);
    await done(dir, ['rmi', 'moved:1']);
    await done(dir, ['gc', '--all']);
    await done(dir, ['fsck', '--read-data']);
    expect(await leftovers(dir)).toEqual([]);
    assert.doesNotMatch(await done(dir, ['images', '--all']), /moved/);
  });
}

test('a holder that sleeps is waited for or left alone, and its things stay', async () => {
  const dir = lab.store();
  const holder = spawn(command, ['import', '-', '--platform', 'linux/amd64'], {
    env: { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: dir },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  holder.stdin.on('error', () => {});
  holder.stdin.write(Buffer.alloc(100_000, 'a'));
  const unfinished = (): string[] => readdirSync(join(dir, 'tmp')).filter((name) => !name.endsWith('.lock'));
  await expect.poll(() => unfinished().length, { timeout: 20_000 }).toBe(1);
  holder.kill('SIGSTOP');
  await done(dir, ['gc', '--all']);
  await done(dir, lab.operation('build').args);
  expect(unfinished()).toHaveLength(1);
  const ended = new Promise((resolve) => holder.once('close', resolve));
  holder.kill('SIGKILL');
  await ended;
  await done(dir, ['gc']);
  expect(await leftovers(dir)).toEqual([]);
});

test('rows and files of leases whose process is gone go, whoever has its number now and whatever boot it was', async () => {
  const dir = lab.store();
  const script = `
    import Libsql from ${JSON.stringify(join(import.meta.dirname, '../../node_modules/libsql/index.js'))};
    const database = new Libsql(process.argv[1]);
    for (const [id, pid, boot] of [['reused', ${process.pid}, ''], ['rebooted', 1, 'another']])
      database.prepare('INSERT INTO leases VALUES (?, ?, ?, ?, ?)').run(id, 'forged', pid, boot, Date.now() + 1e12);`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script, join(dir, 'meta.db')]);
  for (const id of ['reused', 'rebooted']) {
    execFileSync('mkdir', [join(dir, 'tmp', id)]);
    writeFileSync(join(dir, 'tmp', `${id}.lock`), '');
  }
  await done(dir, ['gc']);
  expect(await leftovers(dir)).toEqual([]);
  expect(existsSync(join(dir, 'tmp/reused'))).toBe(false);
  const rows = `
    import Libsql from ${JSON.stringify(join(import.meta.dirname, '../../node_modules/libsql/index.js'))};
    console.log(new Libsql(process.argv[1]).prepare('SELECT count(*) AS n FROM leases').get().n);`;
  const count = execFileSync(process.execPath, ['--input-type=module', '-e', rows, join(dir, 'meta.db')]);
  assert.equal(count.toString(), '0\n');
});
