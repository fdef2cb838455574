// A cgroup that gives a command little memory: it works, or is killed, or says what it lacks; the store stays whole.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leftovers } from './check-store.js';
import { runWithFault } from './fail-call.js';
import { type Lab, makeLab } from './operations.js';
import { amount } from './random.js';

const command = join(import.meta.dirname, '../../bin/tsbuild');
const levelsMb = amount([12, 48, 96, 256], [8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 224, 256]);
/** Its tree does not fit into the smaller ones. */
const members = 80_000;

/** A cgroup of the memory controller below our own, version 1 or 2; null where none can be made. */
function makeCgroup(): { readonly dir: string; limit(megabytes: number): void } | null {
  const own = /^\d+:memory:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  const first = own === undefined ? [] : [join('/sys/fs/cgroup/memory', own), '/sys/fs/cgroup/memory'];
  const parents = [...first, '/sys/fs/cgroup'];
  for (const parent of parents) {
    const dir = join(parent, `tsbuild-test-${process.pid}`);
    try {
      mkdirSync(dir);
      const file = ['memory.limit_in_bytes', 'memory.max'].find((name) => existsSync(join(dir, name)));
      if (file !== undefined) {
        writeFileSync(join(dir, file), String(1 << 30));
        return { dir, limit: (megabytes) => writeFileSync(join(dir, file), String(megabytes << 20)) };
      }
      rmdirSync(dir);
    } catch {
      // not ours to make or to set: the next one, or none
    }
  }
  return null;
}

const cgroup = makeCgroup();

let lab: Lab;
let tar: string;
beforeAll(() => {
  lab = makeLab();
  tar = join(lab.dir, 'members.tar');
  writeFileSync(tar, tarOf(members));
});
afterAll(async () => {
  lab.remove();
  for (let tries = 0; cgroup !== null && existsSync(cgroup.dir) && tries < 100; tries++) {
    try {
      rmdirSync(cgroup.dir);
    } catch {
      await sleep(50); // what flushes the store in the background is still in it
    }
  }
});

function tarOf(count: number): Buffer {
  const bytes = Buffer.alloc(count * 512 + 1024);
  for (let i = 0; i < count; i++) {
    const header = bytes.subarray(i * 512, (i + 1) * 512);
    header.write(`directory${i % 100}/file${i}`);
    header.write('0000644\x000000000\x000000000\x0000000000000\x0000000000000\0        0', 100, 'latin1');
    header.write('ustar\x0000', 257, 'latin1');
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return bytes;
}

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

function runLimited(dir: string, args: readonly string[], procs: string): Promise<End> {
  const env = { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: dir, SOURCE_DATE_EPOCH: '1' };
  const child = spawn('sh', ['-c', 'echo $$ > "$0" && exec "$@"', procs, command, ...args], { env });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.resume();
  child.stdin.end();
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stderr })));
}

for (const name of ['import', 'build'] as const) {
  test.skipIf(cgroup === null)(
    `${name} with little memory works, or is killed and leaves nothing (needs a memory cgroup)`,
    { timeout: 600_000 },
    async () => {
      const args =
        name === 'import'
          ? ['import', '-q', tar, '--platform', 'linux/amd64', '-t', 'moved:1']
          : lab.operation('build').args;
      const ends: string[] = [];
      for (const level of levelsMb) {
        const dir = lab.store();
        cgroup!.limit(level);
        const { code, signal, stderr } = await runLimited(dir, args, join(cgroup!.dir, 'cgroup.procs'));
        ends.push(`${level} MB: ${signal ?? code}`);
        if (code !== 0 && signal === null && code !== 137 && code !== 134)
          assert.match(stderr, /^error\[[A-Z_]+\]: /m, `${level}: ${code} ${stderr}`);
        assert(code === 0 || level < 256, `${level}: ${signal ?? code} ${stderr}`);
        const checked = await runWithFault(dir, ['fsck', '--read-data']);
        assert.equal(checked.code, 0, `${level}: ${checked.stdout}${checked.stderr}`);
        const { stdout } = await runWithFault(dir, ['images', '--format', 'json']);
        assert.match(stdout, /"kept:1"/);
        assert.match(stdout, /"moved:1"/);
        const again = await runWithFault(dir, args);
        assert.equal(again.code, 0, `${level}: ${again.stderr}`);
        const collected = await runWithFault(dir, ['gc']);
        assert.equal(collected.code, 0, collected.stderr);
        expect(await leftovers(dir)).toEqual([]);
        rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
      }
      console.log(`${name}: ${ends.join(', ')}`);
    },
  );
}
