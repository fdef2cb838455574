import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { bootId, lockFile } from '#native';
import { scratchDir } from './batch-program.js';

test('shared locks go together, an exclusive one with none', async () => {
  const path = join(scratchDir('lock'), 'lock');
  const first = await lockFile(path, 'shared', false);
  const second = await lockFile(path, 'shared', false);
  expect(await lockFile(path, 'exclusive', false)).toBeNull();
  first!.close();
  first!.close();
  second!.close();
  const exclusive = await lockFile(path, 'exclusive', false);
  expect(exclusive).not.toBeNull();
  expect(await lockFile(path, 'shared', false)).toBeNull();
  exclusive!.close();
});

test('waiting for a lock ends when it is given back, and blocks nothing else', async () => {
  const path = join(scratchDir('lock'), 'lock');
  const held = await lockFile(path, 'exclusive', false);
  const waiting = Array.from({ length: 20 }, () => lockFile(path, 'exclusive', true).then((lock) => lock!.close()));
  await sleep(30);
  held!.close();
  await Promise.all(waiting);
});

test('the end of a process gives its lock back', async () => {
  const path = join(scratchDir('lock'), 'lock');
  writeFileSync(path, '');
  const holder = spawn('flock', ['-x', '--no-fork', path, 'sh', '-c', `touch ${path}.held; exec sleep 60`]);
  while (!existsSync(`${path}.held`)) await sleep(5);
  expect(await lockFile(path, 'shared', false)).toBeNull();
  holder.kill('SIGKILL');
  (await lockFile(path, 'shared', true))!.close();
});

test('a lock file that was unlinked meanwhile is made anew, so that two never hold it', async () => {
  const path = join(scratchDir('lock'), 'lock');
  const old = await lockFile(path, 'exclusive', false);
  rmSync(path);
  const fresh = await lockFile(path, 'exclusive', false);
  expect(fresh).not.toBeNull();
  expect(await lockFile(path, 'exclusive', false)).toBeNull();
  old!.close();
  fresh!.close();
});

test('a lock in a directory that is not there is an error', async () => {
  const path = join(scratchDir('lock'), 'none', 'lock');
  await expect(lockFile(path, 'shared', true)).rejects.toMatchObject({ code: 'LOCK_FAILED', errno: 'ENOENT' });
});

test('the boot has one name', () => {
  expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
  expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
});
