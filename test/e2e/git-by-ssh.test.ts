// Repositories behind a real ssh server, with keys in a real agent.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRoot, output, people } from '../support/tsbuild.js';

const [person] = people();
const sshd = '/usr/sbin/sshd';
const started: ChildProcess[] = [];
afterAll(() => {
  for (const child of started) child.kill();
});

describe.skipIf(!isRoot || !existsSync(sshd))('a repository by ssh', () => {
  const dir = person!.dir('ssh');
  const agent = join(dir, 'agent');
  let url = '';

  beforeAll(async () => {
    for (const name of ['host', 'key'])
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const port = await freePort();
    const options = [
      `Port=${port}`,
      'ListenAddress=127.0.0.1',
      `HostKey=${join(dir, 'host')}`,
      'StrictModes=no',
      'UsePAM=no',
    ];
    const more = ['PasswordAuthentication=no', `AuthorizedKeysFile=${join(dir, 'key.pub')}`, 'PidFile=none'];
    const words = [...options, ...more].flatMap((option) => ['-o', option]);
    started.push(spawn(sshd, ['-D', '-f', '/dev/null', ...words], { stdio: 'ignore' }));
    started.push(spawn('ssh-agent', ['-D', '-a', agent], { stdio: 'ignore' }));
    while (!existsSync(agent)) await sleep(20);
    execFileSync('ssh-add', ['-q', join(dir, 'key')], { env: { ...process.env, SSH_AUTH_SOCK: agent } });
    const work = join(dir, 'project');
    mkdirSync(work);
    writeFileSync(join(work, 'Buildfile'), 'FROM scratch\nCOPY . /\n');
    for (const words of [
      ['init', '-q'],
      ['add', '.'],
      ['commit', '-q', '-m', 'first'],
    ])
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...words], { cwd: work });
    url = `ssh://root@127.0.0.1:${port}${work}`;
  });

  const build = (words: readonly string[], input: string, env: Record<string, string> = {}) =>
    person!.run(['-q', ...words], { input, env });

  test('is added with the agent that the build was given', async () => {
    const buildfile = `FROM scratch\nADD ${url} /\n`;
    output(await build(['--ssh', `default=${agent}`, '-'], buildfile));
    expect(readFileSync(join(person!.store, 'cache', 'git', 'known_hosts'), 'utf8')).toContain('ssh-ed25519');
    expect((await build(['-'], buildfile)).stderr).toContain('error[SSH_AGENT_MISSING]');
  });

  test('is a context with the agent of whoever builds', async () => {
    output(await build([url], '', { SSH_AUTH_SOCK: agent }));
    const { stderr } = await build([url.replace('root@', 'nobody@')], '', { SSH_AUTH_SOCK: agent });
    expect(stderr).toMatch(/error\[GIT_FAILED\].*Permission denied/);
    expect(stderr).toContain('help: check the keys of the agent');
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
