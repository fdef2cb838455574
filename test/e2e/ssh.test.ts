// RUN --mount=type=ssh with real agents: the caller's own, and one that holds keys of files.
import assert from 'node:assert';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, test } from 'vitest';
import { holds } from '../support/case-seen.js';
import { installed, output, type Person, people } from '../support/tsbuild.js';
import { assertNothingRuns, processesWith } from '../support/unharmed.js';

const base = 'FROM host://sh,coreutils,ssh-add,ssh-keygen,ssh-agent\n';
const canRun = installed('ssh-agent') && installed('ssh-add');

for (const person of people()) {
  describe.skipIf(!canRun)(`as ${person.name} (needs openssh-client)`, () => {
    const { dir, socket } = openAgent(person);
    const own = { env: { SSH_AUTH_SOCK: socket } };
    const build = (buildfile: string, args: readonly string[] = ['--ssh', 'default'], options = own) =>
      person.run(['--progress', 'plain', ...args, '.'], { cwd: context(person, base + buildfile), ...options });

    test("a step lists the caller's keys, and has something signed by them", async () => {
      const { stderr } = await build(
        'RUN --mount=type=ssh ssh-add -l && ssh-add -L > /tmp/key.pub && echo hello > /tmp/text && ' +
          'ssh-keygen -q -Y sign -n case -f /tmp/key.pub /tmp/text && ' +
          'ssh-keygen -Y check-novalidate -n case -s /tmp/text.sig < /tmp/text\n',
      );
      assert.match(stderr, / 256 SHA256:\S+ mine@home \(ED25519\)$/m);
      assert.match(stderr, /^#2 [\d.]+ Good "case" signature with ED25519 key/m);
    });

    test('it can neither add nor remove keys, nor lock the agent', async () => {
      const { stderr } = await build(
        'RUN --mount=type=ssh ssh-keygen -q -t ed25519 -N "" -f /tmp/k; ssh-add -q /tmp/k; ssh-add -D; ssh-add -q -d /tmp/k; ' +
          'ssh-add -q -t 1 /tmp/k; ssh-add -l | wc -l\n',
      );
      assert.match(stderr, /^#2 [\d.]+ 1$/m);
      assert.match(listKeys(socket), /^256 \S+ mine@home \(ED25519\)\n$/);
    });

    test('many connections at a time, and what is no request of an agent, do not disturb it', async () => {
      const { stderr, code } = await build(
        'RUN --mount=type=ssh for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ssh-add -l > /tmp/$i & done; wait; cat /tmp/?* | wc -l\n',
      );
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^#2 [\d.]+ 12$/m);
    });

    test('an agent that ended is told by the step, not by us', async () => {
      const gone = join(dir, 'gone');
      listenAndLeave(gone);
      person.own(gone);
      const { stderr, code } = await build('RUN --mount=type=ssh ssh-add -l\n', ['--ssh', `default=${gone}`]);
      assert.equal(code, 1);
      assert.match(stderr, /error\[RUN_FAILED\]: this step failed: exit code \d+/);
      assert.match(stderr, /agent/);
    });

    test('another socket than an agent is passed on as it is with raw=true', async () => {
      const path = join(dir, 'echo');
      const server = createServer((client) => void client.write('raw bytes\n', () => client.end()));
      await new Promise<void>((resolve) => server.listen(path, resolve));
      execFileSync('chmod', ['666', path]);
      try {
        const cwd = context(
          person,
          'FROM host://sh,perl\nRUN --mount=type=ssh,target=/s perl -MIO::Socket::UNIX -e ' +
            '\'print IO::Socket::UNIX->new(Peer => "/s")->getline\'\n',
        );
        const { stderr } = await person.run(['--ssh', `default=${path},raw=true`, '.'], { cwd });
        assert.match(stderr, /^#2 [\d.]+ raw bytes$/m);
      } finally {
        server.close();
      }
    });

    test('keys in files are served as long as the build goes on, from a store as deep as one likes', async () => {
      const key = makeKey(person, 'other@home');
      const store = join(person.dir('deep'), 'a'.repeat(120));
      mkdirSync(store);
      person.own(store);
      const cwd = context(person, `${base}RUN --mount=type=ssh,id=other ssh-add -l\n`);
      const { stderr } = await person.run(['--store', store, '--ssh', `other=${key}`, '.'], { cwd });
      assert.match(stderr, / 256 SHA256:\S+ other@home \(ED25519\)$/m);
      assert.deepEqual(agentsOf(person), []);
      assert.deepEqual(readdirSync(join(store, 'tmp')), []);
      assert(
        !holds(store, execFileSync('sed', ['-n', '2p', key], { encoding: 'utf8' }).trim()),
        'the key is in the store',
      );
    });

    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      test(`${signal} leaves neither agent nor socket`, async () => {
        const key = makeKey(person, 'killed@home');
        const nap = `sleep ${200_000 + (process.pid % 10_000) * 10 + (signal === 'SIGINT' ? 1 : 0)}`;
        const cwd = context(person, `${base}RUN --mount=type=ssh --mount=target=/s,rw ssh-add -l && ${nap}\n`);
        const child = person.start(['--ssh', `default=${key}`, '.'], { cwd });
        await printed(child, /killed@home/);
        assert.notDeepEqual(agentsOf(person), []);
        const ended = new Promise((resolve) => child.once('close', resolve));
        child.kill(signal);
        await ended;
        output(await build('RUN true\n', ['--no-cache'])); // the next build removes what a killed one left
        await assertNothingRuns(person, child.pid!, nap);
        for (let tries = 0; tries < 100 && agentsOf(person).length > 0; tries++) await sleep(20);
        assert.deepEqual(agentsOf(person), []);
        assert.deepEqual(readdirSync(join(person.store, 'tmp')), []);
      });
    }
  });
}

/** An agent with one key, as long as the tests of this file run. */
function openAgent(person: Person): { dir: string; socket: string } {
  const dir = person.dir('agent');
  const socket = join(dir, 'socket');
  const { uid, gid } = statSync(person.home);
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { uid, gid, stdio: 'ignore' });
  afterAll(() => void agent.kill());
  for (let tries = 0; tries < 250 && !existsSync(socket); tries++) execFileSync('sleep', ['0.02']);
  execFileSync('ssh-add', ['-q', makeKey(person, 'mine@home')], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  return { dir, socket };
}

function makeKey(person: Person, comment: string): string {
  const dir = person.dir('key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', join(dir, 'key')]);
  person.own(dir);
  return join(dir, 'key');
}

function listKeys(socket: string): string {
  return execFileSync('ssh-add', ['-l'], { env: { ...process.env, SSH_AUTH_SOCK: socket }, encoding: 'utf8' });
}

/** Agents that builds started for keys: they are at work in a directory of the store. */
function agentsOf(person: Person): string[] {
  return processesWith('ssh-agent').filter((line) => workingDir(line.split(' ')[0]!).startsWith(`${person.home}/`));
}

function workingDir(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return ''; // it ended, or is not ours to look at
  }
}

/** A socket at which nobody listens any more. */
function listenAndLeave(path: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

function context(person: Person, buildfile: string): string {
  const dir = person.dir('context');
  writeFileSync(join(dir, 'Buildfile'), buildfile);
  return person.own(dir);
}

function printed(child: ChildProcess, wanted: RegExp): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (wanted.test(text)) resolve();
    });
    child.once('close', () => reject(new Error(`it ended before ${wanted}: ${text}`)));
  });
}
