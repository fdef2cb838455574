// Whose password a registry gets: the order of files, helpers that are real programs, and what messages say of it.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findCredentials } from '../../store/transport/credentials.js';
import { tempDir } from './image-samples.js';

const auth = (login: string): { auth: string } => ({ auth: Buffer.from(login).toString('base64') });
const host = 'reg.example:5000';

/** A home with files in it. */
async function homeWith(files: Readonly<Record<string, unknown>>): Promise<Record<string, string>> {
  const home = await tempDir();
  for (const [name, content] of Object.entries(files)) {
    const path = join(home, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    if (name.startsWith('bin/')) chmodSync(path, 0o755);
  }
  return { HOME: home, PATH: `${home}/bin:${process.env.PATH}`, XDG_RUNTIME_DIR: join(home, 'run') };
}

const find = async (env: Record<string, string>, repository = 'team/app', registry = host) => {
  const found = await findCredentials(registry, repository, env, { helperTimeoutMs: 5000 });
  return found?.kind === 'password' ? `${found.username}:${found.password}` : (found?.token ?? null);
};

describe('the first file that knows the registry counts', () => {
  const all = {
    'run/containers/auth.json': { auths: { [host]: auth('a:run') } },
    '.config/containers/auth.json': { auths: { [host]: auth('b:config'), 'other.example': auth('o:config') } },
    '.docker/config.json': { auths: { [host]: auth('c:docker'), 'third.example': auth('t:docker') } },
  };

  test('the runtime directory, then ~/.config, then docker', async () => {
    const env = await homeWith(all);
    expect(await find(env)).toBe('a:run');
    expect(await find(env, 'x', 'other.example')).toBe('o:config');
    expect(await find(env, 'x', 'third.example')).toBe('t:docker');
    expect(await find(env, 'x', 'nobody.example')).toBeNull();
  });

  test('a file that REGISTRY_AUTH_FILE names counts alone, and has to be there', async () => {
    const env = await homeWith({ ...all, 'mine.json': { auths: { [host]: auth('m:mine') } } });
    const named = { ...env, REGISTRY_AUTH_FILE: join(env.HOME!, 'mine.json') };
    expect(await find(named)).toBe('m:mine');
    expect(await find(named, 'x', 'other.example')).toBeNull();
    await expect(find({ ...env, REGISTRY_AUTH_FILE: '/nonexistent.json' })).rejects.toMatchObject({
      code: 'CREDENTIALS_INVALID',
      message: 'there is no /nonexistent.json to be read',
    });
  });

  test('DOCKER_CONFIG is a directory, DOCKER_AUTH_CONFIG the text of a file', async () => {
    const env = await homeWith({ 'd/config.json': { auths: { [host]: auth('d:dir') } } });
    expect(await find({ ...env, DOCKER_CONFIG: join(env.HOME!, 'd') })).toBe('d:dir');
    const text = JSON.stringify({ auths: { [host]: auth('e:env') } });
    expect(await find({ ...env, DOCKER_CONFIG: join(env.HOME!, 'd'), DOCKER_AUTH_CONFIG: text })).toBe('e:env');
  });
});

test('keys may go down to the repository, the most specific wins; URLs mean their host', async () => {
  const env = await homeWith({
    '.config/containers/auth.json': {
      auths: {
        [host]: auth('h:host'),
        [`${host}/team`]: auth('t:team'),
        [`${host}/team/app`]: auth('r:repo'),
        'https://index.docker.io/v1/': auth('hub:hub'),
        'https://old.example/v2/': auth('old:old'),
      },
    },
  });
  expect(await find(env, 'team/app')).toBe('r:repo');
  expect(await find(env, 'team/other')).toBe('t:team');
  expect(await find(env, 'teamwork')).toBe('h:host');
  expect(await find(env, 'library/debian', 'docker.io')).toBe('hub:hub');
  expect(await find(env, 'x', 'old.example')).toBe('old:old');
});

test('files that are no JSON are named, without a word of what is in them', async () => {
  for (const [text, message] of [
    ['{"auths": {"x": {"auth": "c2VjcmV0"', 'is not valid JSON'],
    ['[]', 'is no JSON object'],
    [`{"auths": {"${host}": {"auth": "c2VjcmV0"}}}`, "holds no 'user:password'"],
  ] as const) {
    const env = await homeWith({ '.docker/config.json': text });
    const error = await find(env).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: 'CREDENTIALS_INVALID', message: expect.stringContaining(message) });
    expect((error as Error).message).toContain('.docker/config.json');
    expect(`${error} ${JSON.stringify(error)} ${(error as Error).cause}`).not.toMatch(/c2VjcmV0|secret/);
  }
  expect(await find(await homeWith({ '.docker/config.json': '' }))).toBeNull();
});

describe('credential helpers', () => {
  const helped = (script: string, config: object = { credHelpers: { [host]: 'test' } }) =>
    homeWith({ '.docker/config.json': config, 'bin/docker-credential-test': `#!/bin/sh\n${script}\n` });
  const answer = `read server; echo "{\\"Username\\":\\"user\\",\\"Secret\\":\\"$1 $server\\"}"`;

  test('one for the registry is asked, else the one for all', async () => {
    expect(await find(await helped(answer))).toBe(`user:get ${host}`);
    expect(await find(await helped(answer, { credsStore: 'test' }))).toBe(`user:get ${host}`);
    expect(await find(await helped(answer), 'x', 'other.example')).toBeNull();
  });

  test("Docker Hub is asked for by docker's name for it, then podman's", async () => {
    const script = `read server; [ "$server" = docker.io ] || { echo credentials not found in native keychain; exit 1; }
      echo '{"Username":"<token>","Secret":"long-lived"}'`;
    const env = await helped(script, { credsStore: 'test' });
    expect(await find(env, 'library/debian', 'docker.io')).toBe('long-lived');
  });

  test('one that has nothing leaves it to the next file', async () => {
    const env = await homeWith({
      'run/containers/auth.json': { credHelpers: { [host]: 'test' } },
      '.docker/config.json': { auths: { [host]: auth('c:docker') } },
      'bin/docker-credential-test': '#!/bin/sh\necho credentials not found in native keychain; exit 1\n',
    });
    expect(await find(env)).toBe('c:docker');
  });

  const broken: [what: string, script: string, message: RegExp][] = [
    [
      'fails',
      'echo no key in the agent; exit 3',
      /docker-credential-test get failed \(exit code 3\): no key in the agent/,
    ],
    [
      'fails over its secret',
      `echo '{"Secret":"canary"}'; exit 1`,
      /get failed \(exit code 1\); .*config.json names it/,
    ],
    ['prints garbage', 'echo canary', /answered with something that is not JSON/],
    ['prints without end', 'yes canary', /answers without end/],
    ['hangs', 'sleep 600', /docker-credential-test get did not answer within 1 s/],
    ['leaves a child that holds its output', 'sleep 600 & exit 0', /did not answer within 1 s/],
  ];
  for (const [what, script, message] of broken) {
    test(`one that ${what} is named, and its secret is not told`, async () => {
      const env = await helped(script);
      const asking = findCredentials(host, 'x', env, {
        helperTimeoutMs: message.source.includes('within 1 s') ? 1000 : 30_000,
      });
      const error = await asking.catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: 'CREDENTIALS_INVALID', message: expect.stringMatching(message) });
      expect(String(error)).not.toContain('canary');
    });
  }

  test('one that is not there, or no name of a program, is told with the file that names it', async () => {
    const env = await homeWith({ '.docker/config.json': { credsStore: 'nowhere' } });
    await expect(find(env)).rejects.toMatchObject({
      message: expect.stringMatching(/docker-credential-nowhere can't be started: .*config.json names it/),
    });
    const odd = await homeWith({ '.docker/config.json': { credsStore: '../../bin/sh' } });
    await expect(find(odd)).rejects.toMatchObject({ message: expect.stringContaining('no program') });
  });
});
