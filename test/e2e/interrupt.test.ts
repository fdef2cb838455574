// Ctrl-C, SIGTERM and kill -9 at any moment: one line, the right exit code, and nothing left behind.
import assert from 'node:assert';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, test } from 'vitest';
import { startScripted } from '../store/transport-server.js';
import { output, type Person, people, type RunOptions } from '../support/tsbuild.js';
import { assertNothingRuns, assertStoreUnharmed, processesWith, type Seen, seenStore } from '../support/unharmed.js';

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type Signal = keyof typeof exitCodes;

const base = 'FROM host://sh,coreutils\n';
/** Sleeps that no other process of this machine sleeps, to be found by. */
let lastSleep = 100_000 + (process.pid % 10_000) * 100;

function uniqueSleep(): string {
  lastSleep++;
  return `sleep ${lastSleep}`;
}

interface UnderWay {
  readonly child: ChildProcess;
  readonly pid: number;
  /** How it ended, and all of its standard error. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
}

/** A command under way: it has printed what `until` matches. Its standard input stays open. */
async function underWay(
  person: Person,
  args: readonly string[],
  until: RegExp,
  options?: RunOptions,
): Promise<UnderWay> {
  const child = person.start(args, options);
  let printed = '';
  let stderr = '';
  child.stdin?.on('error', () => {});
  const ended = new Promise<Awaited<UnderWay['ended']>>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stderr }));
  });
  await new Promise<void>((resolve, reject) => {
    const look = (text: Buffer): void => {
      printed += text.toString();
      if (until.test(printed)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.stderr?.on('data', (text: Buffer) => {
      stderr += text.toString();
    });
    void ended.then(() => reject(new Error(`it ended before ${until}: ${printed}`)));
  });
  return { child, pid: child.pid!, ended };
}

async function assertInterrupted(running: UnderWay, signal: Signal, person: Person, before: Seen): Promise<void> {
  const { code, stderr } = await running.ended;
  assert.match(
    stderr,
    new RegExp(`\n\ninterrupted by ${signal}; nothing of the unfinished steps was kept\n$|^\ninterrupted`),
  );
  assert.doesNotMatch(stderr, /^error/m);
  assert.equal(code, exitCodes[signal]);
  await assertStoreUnharmed(person, before);
}

function context(person: Person, buildfile: string): string {
  const dir = person.dir('context');
  writeFileSync(join(dir, 'Buildfile'), buildfile);
  return person.own(dir);
}

const everybody = people();

for (const person of everybody) {
  describe(`as ${person.name}`, () => {
    let before: Seen;
    beforeAll(async () => {
      const cwd = context(person, `${base}RUN echo kept > /kept\nCMD ["true"]\n`);
      output(await person.run(['-t', 'kept:1', '.'], { cwd }));
      before = await seenStore(person);
    });

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      test(`${signal} ends a step, and what was finished before it stays in the cache`, async () => {
        const nap = uniqueSleep();
        const cwd = context(person, `${base}RUN echo ${nap} > /done\nRUN echo begun; ${nap}; echo never\n`);
        const running = await underWay(person, ['-t', 'kept:1', '.'], /begun$/m, { cwd });
        running.child.kill(signal);
        await assertInterrupted(running, signal, person, before);
        await assertNothingRuns(person, running.pid, nap);
        writeFileSync(join(cwd, 'Buildfile'), `${base}RUN echo ${nap} > /done\n`);
        assert.match((await person.run(['.'], { cwd })).stderr, /#2 CACHED\n/);
      });
    }

    test('Ctrl-C at the terminal, which all processes of the group get, ends all of it', async () => {
      const nap = uniqueSleep();
      const cwd = context(person, `${base}RUN echo begun; mkdir -m 0 /closed; ${nap}\n`);
      const running = await underWay(person, ['.'], /begun$/m, { cwd, ownGroup: true });
      process.kill(-running.pid, 'SIGINT');
      await assertInterrupted(running, 'SIGINT', person, before);
      await assertNothingRuns(person, running.pid, nap);
    });

    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      test(`${signal} leaves nothing of mounts from stages and of what was written into them`, async () => {
        const nap = uniqueSleep();
        const cwd = context(
          person,
          `${base.replace('\n', ' AS files\n')}RUN mkdir -p /d/e && echo ${nap} > /d/e/f\n${base}` +
            'RUN --mount=from=files,source=/d,target=/d,rw --mount=target=/c,rw --mount=from=files,target=/f ' +
            `rm -r /d/e; mkdir -m 0 /d/new; chown 7:7 /d/new; touch /c/x; echo begun; ${nap}\n`,
        );
        writeFileSync(join(cwd, '.dockerignore'), '.dockerignore\n');
        const running = await underWay(person, ['.'], /begun$/m, { cwd: person.own(cwd) });
        running.child.kill(signal);
        const { code } = await running.ended;
        assert.equal(code, signal === 'SIGINT' ? 130 : null);
        assert.deepEqual(readdirSync(cwd).sort(), ['.dockerignore', 'Buildfile']);
        writeFileSync(join(cwd, 'Buildfile'), `${base}RUN true\n`);
        output(await person.run(['--no-cache', '.'], { cwd }));
        await assertNothingRuns(person, running.pid, nap);
        await assertStoreUnharmed(person, before);
      });
    }

    test('a second signal kills a step that does not listen', async () => {
      const nap = uniqueSleep();
      const cwd = context(person, `${base}RUN trap '' INT TERM; echo begun; while :; do ${nap}; done\n`);
      const running = await underWay(person, ['.'], /begun$/m, { cwd });
      running.child.kill('SIGTERM');
      await sleep(200);
      assert.equal(running.child.exitCode, null);
      assert.notDeepEqual(processesWith(nap), []);
      running.child.kill('SIGTERM');
      await assertInterrupted(running, 'SIGTERM', person, before);
      await assertNothingRuns(person, running.pid, nap);
    });

    // Ten seconds of patience are enough once.
    test.skipIf(person !== everybody.at(-1))('a step that does not listen is killed in the end', async () => {
      const nap = uniqueSleep();
      const cwd = context(person, `${base}RUN trap '' INT; echo begun; while :; do ${nap}; done\n`);
      const running = await underWay(person, ['.'], /begun$/m, { cwd });
      const asked = performance.now();
      running.child.kill('SIGINT');
      await assertInterrupted(running, 'SIGINT', person, before);
      assert(performance.now() - asked > 9000);
      await assertNothingRuns(person, running.pid, nap);
    });

    test('kill -9 takes the step with it, and the next build removes what was left', async () => {
      const nap = uniqueSleep();
      const step = `RUN echo begun; mkdir -m 0 /closed; chown 7:7 /closed; head -c 9M /dev/zero > /big; ${nap}\n`;
      const cwd = context(person, `${base}${step}`);
      const running = await underWay(person, ['.'], /begun$/m, { cwd });
      await sleep(100);
      running.child.kill('SIGKILL');
      assert.equal((await running.ended).signal, 'SIGKILL');
      writeFileSync(join(cwd, 'Buildfile'), `${base}RUN true\n`);
      output(await person.run(['--no-cache', '.'], { cwd }));
      await assertNothingRuns(person, running.pid, nap);
      await assertStoreUnharmed(person, before);
    });

    test('while files are copied into a layer', async () => {
      const cwd = context(person, 'FROM scratch\nCOPY large /\n');
      writeFileSync(join(cwd, 'large'), '');
      truncateSync(join(cwd, 'large'), 150 * 1024 * 1024);
      const running = await underWay(person, ['-t', 'kept:1', '.'], /COPY large \/$/m, { cwd });
      await sleep(50);
      running.child.kill('SIGINT');
      await assertInterrupted(running, 'SIGINT', person, before);
    });

    test('while a step is committed', async () => {
      const cwd = context(person, `${base}RUN head -c 200M /dev/zero > /large; echo written\n`);
      const running = await underWay(person, ['-t', 'kept:1', '.'], /written$/m, { cwd });
      await sleep(20);
      running.child.kill('SIGTERM');
      await assertInterrupted(running, 'SIGTERM', person, before);
    });

    test('while a tar comes in, and kill -9 then', async () => {
      for (const signal of ['SIGINT', 'SIGKILL'] as const) {
        const child = person.start(['import', '-', '-t', 'kept:1']);
        let stderr = '';
        child.stderr?.on('data', (text: Buffer) => {
          stderr += text.toString();
        });
        child.stdin?.on('error', () => {});
        child.stdin?.write(Buffer.alloc(1_000_000, 'a'));
        while (!unfinished(person).some((name) => name.includes('/'))) await sleep(10);
        const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
        child.kill(signal);
        assert.equal(await ended, signal === 'SIGINT' ? 130 : null);
        assert.equal(
          stderr,
          signal === 'SIGINT' ? '\ninterrupted by SIGINT; nothing of the unfinished steps was kept\n' : '',
        );
        await assertStoreUnharmed(person, before);
      }
    });

    test('while a registry keeps us waiting, for a pull and for a base', async () => {
      const stalled = await stallingRegistry();
      const name = `${stalled.name}/app:1`;
      const cwd = context(person, `FROM ${name}\n`);
      for (const args of [['pull', name], ['.'], ['-q', '.']]) {
        const child = person.start(args, { cwd });
        let stderr = '';
        child.stderr?.on('data', (text: Buffer) => {
          stderr += text.toString();
        });
        const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
        await stalled.waiting();
        child.kill('SIGINT');
        assert.equal(await ended, 130);
        assert.match(stderr, /(^|\n)\ninterrupted by SIGINT; nothing of the unfinished steps was kept\n$/);
        await assertStoreUnharmed(person, before);
      }
    });

    test('a program of `tsbuild run` gets the signal itself, and its exit code is ours', async () => {
      for (const [signal, code] of [
        ['SIGINT', 3],
        ['SIGTERM', 4],
      ] as const) {
        const nap = uniqueSleep();
        const script = `trap 'exit 3' INT; trap 'exit 4' TERM; echo begun; ${nap} & wait`;
        const running = await underWay(person, ['run', 'kept:1', 'sh', '-c', script], /begun/);
        running.child.kill(signal);
        assert.deepEqual(await running.ended, { code, signal: null, stderr: '' });
        await assertNothingRuns(person, running.pid, nap);
      }
      const nap = uniqueSleep();
      const running = await underWay(person, ['run', 'kept:1', 'sh', '-c', `echo begun; ${nap}`], /begun/);
      running.child.kill('SIGKILL');
      await running.ended;
      output(await person.run(['run', 'kept:1']));
      await assertNothingRuns(person, running.pid, nap);
      await assertStoreUnharmed(person, before);
    });

    test('kills at any time of a build leave a store that works', async () => {
      const cwd = context(person, `${base}RUN echo 1 > /1\nCOPY Buildfile /\nRUN head -c 5M /dev/zero > /2\n`);
      for (let killAfterMs = 20; killAfterMs < 260; killAfterMs += 20) {
        const child = person.start(['--no-cache', '.'], { cwd });
        const ended = new Promise((resolve) => child.once('close', resolve));
        await sleep(killAfterMs);
        child.kill('SIGKILL');
        await ended;
      }
      output(await person.run(['-t', 'new:1', '--no-cache', '.'], { cwd }));
      output(await person.run(['rmi', 'new:1']));
      await assertStoreUnharmed(person, before);
    });
  });
}

/** What lies in the store's tmp/. */
function unfinished(person: Person): string[] {
  return readdirSync(join(person.store, 'tmp'), { recursive: true, encoding: 'utf8' });
}

/** A registry that begins to send an image's layer, and never goes on. */
async function stallingRegistry(): Promise<{ name: string; waiting(): Promise<void> }> {
  const digest = (bytes: Buffer | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const layer = Buffer.alloc(1_000_000);
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digest(layer)] },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest(config), size: config.length },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digest(layer), size: layer.length }],
  });
  let stalled = 0;
  let seen = 0;
  const { name } = await startScripted(({ url = '' }, response) => {
    if (url.includes('/manifests/')) response.writeHead(200, { 'content-type': mediaType }).end(manifest);
    else if (url.includes(digest(config))) response.end(config);
    else if (url.includes('/blobs/')) {
      response.writeHead(200, { 'content-length': layer.length });
      response.write(layer.subarray(0, 1000));
      stalled++;
    } else response.end('{}');
  });
  return {
    name,
    async waiting() {
      while (stalled === seen) await sleep(10);
      seen = stalled;
      await sleep(50);
    },
  };
}
