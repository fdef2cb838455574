// How a step starts and ends: exit statuses, what can go wrong before, images that try to trick the launcher. Real steps, as root and as an ordinary user.
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Lab, shell, useLabs } from './step-lab.js';

for (const lab of await useLabs()) {
  describe(`a step as ${lab.name}`, () => {
    describeEnd(lab);
    describeHostileImages(lab);
  });
}

function describeEnd(lab: Lab): void {
  for (const code of [0, 1, 42, 255]) {
    test(`exit status ${code} is reported`, async () => {
      const { exit } = await shell(lab, `exit ${code}`);
      expect(exit).toMatchObject({ exitCode: code, signal: null });
    });
  }

  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGKILL', 9],
    ['SIGSEGV', 11],
  ] as const) {
    test(`death by ${signal} is reported as 128+${number}`, async () => {
      const { exit } = await shell(lab, `kill -${number} $$`);
      expect(exit).toMatchObject({ exitCode: 128 + number, signal });
    });
  }

  test('output of both streams arrives complete and apart', async () => {
    const outcome = await shell(lab, 'seq 1 200000; echo oops >&2');
    expect(outcome.stdout.length).toBe(1288895);
    expect(outcome.stderr).toBe('oops\n');
  });

  test('/dev/stdout and /dev/stderr can be reopened, also by another user', async () => {
    const outcome = await shell(lab, 'echo one >/dev/stdout; echo two >/dev/stderr', { uid: 1000, gid: 1000 });
    expect(outcome).toMatchObject({ stdout: 'one\n', stderr: 'two\n' });
  });

  test('resources are accounted', async () => {
    const { exit } = await shell(lab, 'dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null');
    expect(exit?.maxRssBytes).toBeGreaterThan(30 << 20);
  });

  test('a missing program is LAUNCH_EXEC with ENOENT', async () => {
    for (const args of [['no-such-program'], ['/bin/no-such-program'], ['']]) {
      const { error } = await lab.run({ args });
      expect(error).toMatchObject({ code: 'LAUNCH_EXEC', errno: 'ENOENT' });
    }
  });

  test('a program that may not be executed is LAUNCH_EXEC with EACCES', async () => {
    const layer = lab.layer((dir) => {
      mkdirSync(join(dir, 'bin'));
      writeFileSync(join(dir, 'bin/plain'), '#!/bin/sh\n', { mode: 0o644 });
    });
    const layers = [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
    for (const args of [['plain'], ['/bin/plain']]) {
      expect((await lab.run({ args, layers })).error).toMatchObject({ code: 'LAUNCH_EXEC', errno: 'EACCES' });
    }
  });

  test('a program for another machine is LAUNCH_EXEC with ENOEXEC', async () => {
    const foreign = Buffer.alloc(128);
    foreign.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    foreign.writeUInt16LE(2, 16); // executable
    foreign.writeUInt16LE(243, 18); // RISC-V
    const layer = lab.layer((dir) => writeFileSync(join(dir, 'foreign'), foreign, { mode: 0o755 }));
    const { error } = await lab.run({
      args: ['/foreign'],
      layers: [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const),
    });
    expect(error).toMatchObject({ code: 'LAUNCH_EXEC', errno: 'ENOEXEC' });
  });

  test('the program is looked for along the PATH of the step', async () => {
    const { error } = await lab.run({ args: ['true'], env: ['PATH=/nowhere:/tmp'] });
    expect(error).toMatchObject({ code: 'LAUNCH_EXEC', errno: 'ENOENT' });
    expect((await lab.run({ args: ['true'], env: ['PATH=/nowhere:/bin'] })).exit?.exitCode).toBe(0);
    expect((await lab.run({ args: ['true'], env: [] })).exit?.exitCode).toBe(0);
  });

  test('arguments, environment and working directory arrive as given', async () => {
    const outcome = await lab.run({
      args: ['sh', '-c', 'pwd; env | sort; for a; do echo "<$a>"; done', 'sh', 'a b', '', 'ü\n'],
      env: ['PATH=/bin', 'X=1=2', 'EMPTY='],
      cwd: '/tmp',
    });
    expect(outcome.stdout).toBe(
      Buffer.from('/tmp\nEMPTY=\nPATH=/bin\nPWD=/tmp\nSHLVL=1\nX=1=2\n<a b>\n<>\n<ü\n>\n').toString('latin1'),
    );
  });

  test('a missing working directory is LAUNCH_WORKDIR', async () => {
    expect((await lab.run({ cwd: '/nowhere' })).error).toMatchObject({ code: 'LAUNCH_WORKDIR', errno: 'ENOENT' });
  });

  test('a missing layer and a missing scratch directory are named', async () => {
    const layers = [{ kind: 'tree', dir: `${lab.dir}/gone` }] as const;
    const { error } = await lab.run({ layers });
    expect(error).toMatchObject({ code: 'LAUNCH_LAYER', errno: 'ENOENT' });
    expect(error?.message).toContain(`${lab.dir}/gone`);
    expect((await lab.run({ scratchDir: `${lab.dir}/gone` })).error).toMatchObject({ code: 'LAUNCH_SCRATCH' });
  });
}

function describeHostileImages(lab: Lab): void {
  const replaced = (name: string, target: string) => {
    const layer = lab.layer((dir) => symlinkSync(target, join(dir, name)));
    return [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
  };

  for (const [name, target] of [
    ['proc', '/tmp'],
    ['dev', '/etc'],
    ['dev', '../../../etc'],
    ['sys', '/'],
  ] as const) {
    test(`/${name} as a symlink to ${target} is refused`, async () => {
      const before = readdirSync('/etc').length;
      const { error } = await lab.run({ layers: replaced(name, target) });
      expect(error).toMatchObject({ code: `LAUNCH_${name.toUpperCase()}`, errno: 'ENOTDIR' });
      expect(readdirSync('/etc').length).toBe(before);
    });
  }

  test('a working directory can not lead out through an open descriptor', async () => {
    for (let fd = 3; fd < 24; fd++) {
      const { error, exit } = await lab.run({ cwd: `/proc/self/fd/${fd}` });
      expect(exit).toBeUndefined();
      expect(error?.code).toBe('LAUNCH_WORKDIR');
    }
    const { error } = await lab.run({ cwd: '/escape', layers: replaced('escape', '/proc/self/fd/9') });
    expect(error?.code).toBe('LAUNCH_WORKDIR');
  });

  test('the launcher can not be reached through a program that is a link to it', async () => {
    const { error } = await lab.run({ args: ['/self'], layers: replaced('self', '/proc/1/exe') });
    expect(error).toMatchObject({ code: 'LAUNCH_EXEC', errno: 'EACCES' });
  });

  test('a symlink loop at a mount point is an error, not a hang', async () => {
    const mounts = [{ kind: 'tmpfs', target: '/loop/x' }] as const;
    const { error } = await lab.run({ layers: replaced('loop', '/loop'), mounts });
    expect(error).toMatchObject({ code: 'LAUNCH_TARGET', errno: 'ELOOP' });
  });
}
