// Contexts that come through standard input or have to be fetched, over several builds.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type FileServer, startFileServer } from '../support/file-server.js';
import { readImageFiles } from '../support/layer-files.js';
import { output, people, type Result } from '../support/tsbuild.js';

const [person] = people();
const servers: FileServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.close())));

const buildfile = 'FROM scratch\nCOPY file /\n';

/** A directory with a Buildfile and what it copies, and archives of it. */
function project(files: Readonly<Record<string, string>> = { Buildfile: buildfile, file: 'content\n' }): string {
  const dir = person!.dir('project');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return person!.own(dir);
}

function archive(dir: string, ...words: string[]): Buffer {
  return execFileSync('tar', ['-C', dir, ...words, '-c', '.']);
}

const git = (cwd: string, ...words: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'init.defaultBranch=main', ...words], {
    cwd,
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_AUTHOR_DATE: '1600000000 +0000',
      GIT_COMMITTER_DATE: '1600000000 +0000',
    },
  }).trim();

/** A server with project.git; `commit` adds one. */
async function serveRepository(
  files?: Readonly<Record<string, string>>,
): Promise<{ url: string; server: FileServer; commit(name: string, text: string): void }> {
  const [work, root] = [project(files), person!.dir('served')];
  git(work, 'init', '-q');
  const commit = (name: string, text: string): void => {
    writeFileSync(join(work, name), text);
    git(work, 'add', '.');
    git(work, 'commit', '-q', '-m', name);
    git(work, 'push', '-q', '-f', join(root, 'project.git'), 'main');
  };
  git(root, 'init', '-q', '--bare', 'project.git');
  commit('more', 'more\n');
  const server = await startFileServer(root);
  servers.push(server);
  return { url: `${server.url}/project.git`, server, commit };
}

/** The words are build's; standard input may be bytes. */
async function run(words: readonly string[], input: Buffer | string = '', cwd = person!.home): Promise<Result> {
  const child = person!.start(words, { cwd });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
    });
  }
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  return new Promise((done) => child.on('close', (code) => done({ code, ...texts })));
}

async function filesOf(
  words: readonly string[],
  input?: Buffer | string,
  cwd?: string,
): Promise<Record<string, string>> {
  const digest = output(await run(['-q', ...words], input, cwd)).trim();
  const { tree } = await readImageFiles(person!.store, digest);
  return Object.fromEntries(
    [...tree].flatMap(([path, file]) => (file.content === undefined ? [] : [[path, file.content]])),
  );
}

describe('standard input', () => {
  for (const [name, words] of [
    ['plain', []],
    ['gzip', ['-z']],
    ['bzip2', ['-j']],
    ['xz', ['-J']],
    ['zstd', ['--zstd']],
  ] as const) {
    test(`may be a tar: ${name}`, async () => {
      expect(await filesOf(['-'], archive(project(), ...words))).toEqual({ '/file': 'content\n' });
    });
  }

  test('may be a tar, of which -f names the Buildfile', async () => {
    const dir = project({ other: 'FROM scratch\nCOPY other /x\n' });
    expect(await filesOf(['-f', 'other', '-'], archive(dir))).toEqual({ '/x': 'FROM scratch\nCOPY other /x\n' });
  });

  test('may be a Buildfile, with an empty context', async () => {
    expect(await filesOf(['-'], 'FROM scratch\nCOPY <<x /x\nhere\nx\n')).toEqual({ '/x': 'here\n' });
    const { stderr } = await run(['-'], buildfile);
    expect(stderr).toContain('error[COPY_NOT_FOUND]: file is not in the build context');
  });

  test('may be the Buildfile of a context that is fetched', async () => {
    const { url } = await serveRepository();
    expect(await filesOf(['-f', '-', url], 'FROM scratch\nCOPY more /a\n')).toEqual({ '/a': 'more\n' });
  });

  const refused: [name: string, words: string[], input: Buffer | string, message: string, code: number][] = [
    ['both things', ['-f', '-', '-'], buildfile, 'standard input can not be both the context and the Buildfile', 2],
    [
      'a second Buildfile',
      ['-f', 'x', '-'],
      buildfile,
      'two Buildfiles were given: one on standard input, and one with -f',
      1,
    ],
    [
      'half of an archive',
      ['-'],
      archive(project(), '-z').subarray(0, 60),
      "the archive on standard input can't be used as a context: the archive's gzip stream is damaged: unexpected end of file",
      1,
    ],
    [
      'neither text nor tar',
      ['-'],
      Buffer.from('\0\0binary'),
      'what is on standard input is no text: it contains NUL bytes, or is larger than 16 MB',
      1,
    ],
    [
      'a tar that leads elsewhere',
      ['-'],
      archive(project(), '--transform=s,^\\./file,../../file,', '-P'),
      'points outside the layer',
      1,
    ],
    ['nothing', ['-'], '', '<stdin> has no instructions', 1],
  ];
  for (const [name, words, input, message, code] of refused) {
    test(`is refused as ${name}`, async () => {
      const result = await run(words, input);
      expect(result.stderr).toContain(message);
      expect(result.code).toBe(code);
    });
  }
});

describe('a git repository', () => {
  test('is asked for its branch only when nothing changed, and for what changed then', async () => {
    const { url, server, commit } = await serveRepository();
    const first = output(await run(['-q', url]));
    server.requests.length = 0;
    expect(output(await run(['-q', url]))).toBe(first);
    expect(server.requests.filter((request) => request.startsWith('POST'))).toHaveLength(1); // ls-remote
    commit('file', 'changed\n');
    expect(await filesOf([url])).toEqual({ '/file': 'changed\n' });
  });

  test('comes without .git, unless BUILDKIT_CONTEXT_KEEP_GIT_DIR says so', async () => {
    const { url } = await serveRepository({ Buildfile: 'FROM scratch\nCOPY . /\n' });
    expect(Object.keys(await filesOf([url]))).toEqual(['/Buildfile', '/more']);
    const kept = await filesOf(['--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1', url]);
    expect(kept['/.git/HEAD']).toMatch(/^[0-9a-f]{40}\n$/);
  });

  test('gives SOURCE_DATE_EPOCH=context the time of its commit', async () => {
    const { url } = await serveRepository();
    const digest = output(await run(['-q', '--build-arg', 'SOURCE_DATE_EPOCH=context', url])).trim();
    const { config, tree } = await readImageFiles(person!.store, digest);
    expect(config.created).toBe('2020-09-13T12:26:40.000Z');
    expect(tree.get('/file')?.mtime).toBe(1_600_000_000);
  });

  test('takes a Buildfile of this machine by its absolute path', async () => {
    const { url } = await serveRepository();
    const path = join(project({ Buildfile: 'FROM scratch\nCOPY more /of-here\n' }), 'Buildfile');
    expect(await filesOf(['-f', path, url])).toEqual({ '/of-here': 'more\n' });
  });

  test('is fetched once by two builds at the same time', async () => {
    const { url } = await serveRepository();
    const results = await Promise.all([run(['-q', url]), run(['-q', url])]);
    expect(new Set(results.map(output)).size).toBe(1);
  });

  test('can be checked without a build', async () => {
    const { url } = await serveRepository({ Buildfile: 'FROM scratch AS a\nCOPY more /\nMAINTAINER x\n' });
    const { stdout } = await run(['--check', url]);
    expect(stdout).toContain('MaintainerDeprecated');
  });
});

test('a URL may be that of a Buildfile, which is all of its context', async () => {
  const root = person!.dir('served');
  writeFileSync(join(root, 'recipe'), 'FROM scratch\nCOPY . /\n');
  const server = await startFileServer(root);
  servers.push(server);
  expect(await filesOf([`${server.url}/recipe`])).toEqual({ '/context': readFileSync(join(root, 'recipe'), 'utf8') });
});
