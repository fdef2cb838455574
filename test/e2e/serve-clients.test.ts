// Clients of all kinds against `tsbuild serve`: what they push runs, what was built they pull.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { beforeAll, describe, expect, test } from 'vitest';
import { goProgram } from '../support/go-programs.js';
import { startServer } from '../support/serving.js';
import { installed, isRoot, output, people } from '../support/tsbuild.js';

const crane = goProgram(
  'crane',
  'github.com/google/go-containerregistry',
  'v0.22.1',
  'github.com/google/go-containerregistry/cmd/crane',
);
const lacksCrane = crane === null ? ' (skipped: crane can not be built here)' : '';

for (const person of people().filter(() => installed('busybox'))) {
  describe(`as ${person.name}`, () => {
    const client = (program: string, ...args: string[]): string =>
      execFileSync(program, args, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, HOME: person.home },
      });

    beforeAll(async () => {
      const dir = person.dir('context');
      execFileSync('cp', ['/bin/busybox', join(dir, 'sh')]);
      writeFileSync(
        join(dir, 'Buildfile'),
        'FROM scratch\nCOPY sh /bin/sh\nCOPY Buildfile /\nCMD ["/bin/sh", "-c", "echo from $0", "the image"]\n',
      );
      output(await person.run(['-q', '-t', 'app:1', person.own(dir)]));
    });
    const runs = async (name: string): Promise<string> => output(await person.run(['run', name])).trim();

    test.skipIf(!installed('skopeo'))(
      'skopeo copies out, and in as gzip, as zstd and with docker’s types',
      async () => {
        const { name } = await startServer(person);
        const layout = `oci:${person.dir('layout')}:1`;
        client('skopeo', 'copy', '-q', '--src-tls-verify=false', `docker://${name}/app:1`, layout);
        const forms: Record<string, string[]> = {
          'by/gzip': ['--dest-compress-format', 'gzip', '--dest-force-compress-format'],
          'by/zstd': ['--dest-compress-format', 'zstd', '--dest-force-compress-format'],
          'by/docker': ['--format', 'v2s2'],
          'quay.io/by/name': [],
        };
        const supported = client('skopeo', 'copy', '--help').includes('force-compress-format');
        for (const [repository, options] of Object.entries(forms)) {
          const known = options.filter((option) => supported || !option.includes('force'));
          client(
            'skopeo',
            'copy',
            '-q',
            '--dest-tls-verify=false',
            ...known,
            layout,
            `docker://${name}/${repository}:2`,
          );
          expect(await runs(`${repository}:2`)).toBe('from the image');
        }
        const inspected = JSON.parse(client('skopeo', 'inspect', '--tls-verify=false', `docker://${name}/by/gzip:2`));
        expect(inspected.RepoTags).toEqual(['2']);
        const back = `oci:${person.dir('layout')}:1`;
        for (const repository of Object.keys(forms)) {
          client('skopeo', 'copy', '-q', '--src-tls-verify=false', `docker://${name}/${repository}:2`, back);
        }
        client('skopeo', 'delete', '--tls-verify=false', `docker://${name}/by/docker:2`);
        expect((await person.run(['run', 'by/docker:2'])).code).toBe(1);
      },
    );

    test.skipIf(crane === null)(`crane pulls, pushes, validates, lists, tags and deletes${lacksCrane}`, async () => {
      const { name } = await startServer(person);
      const run = (...args: string[]): string => client(crane!, ...args, '--insecure').trim();
      const tar = join(person.dir('crane'), 'image.tar');
      run('pull', `${name}/app:1`, tar);
      run('push', tar, `${name}/craned/app:1`);
      // Of compressed layers it knows gzip alone, so of what was built here it looks at the manifest only.
      expect(run('validate', '--fast', '--remote', `${name}/app:1`)).toMatch(/PASS/);
      expect(run('validate', '--remote', `${name}/craned/app:1`)).toMatch(/PASS/);
      run('tag', `${name}/craned/app:1`, 'second');
      expect(run('ls', `${name}/craned/app`).split('\n')).toEqual(['1', 'second']);
      expect(run('catalog', name).split('\n')).toEqual(expect.arrayContaining(['app', 'craned/app']));
      const digest = run('digest', `${name}/craned/app:1`);
      run('copy', `${name}/craned/app:1`, `${name}/craned/copy:1`);
      expect(run('digest', `${name}/craned/copy:1`)).toBe(digest);
      expect(await runs('craned/copy:1')).toBe('from the image');
      run('delete', `${name}/craned/app:second`);
      expect(run('ls', `${name}/craned/app`)).toBe('1');
      run('delete', `${name}/craned/app@${digest}`);
      expect(() => run('manifest', `${name}/craned/app:1`)).toThrow(/MANIFEST_UNKNOWN|NAME_UNKNOWN/);
    });

    test.skipIf(!installed('buildah') || !isRoot)('buildah builds on what it pulls, and pushes', async () => {
      const { name } = await startServer(person);
      const root = person.dir('buildah');
      const run = (...args: string[]): string =>
        client(
          'buildah',
          '--storage-driver',
          'vfs',
          '--root',
          join(root, 'root'),
          '--runroot',
          join(root, 'run'),
          ...args,
        ).trim();
      const container = run('from', '--tls-verify=false', `${name}/app:1`);
      run('config', '--cmd', '["/bin/sh", "-c", "echo from buildah"]', container);
      run('commit', '--tls-verify=false', container, `docker://${name}/buildahs/app:1`);
      expect(await runs('buildahs/app:1')).toBe('from buildah');
    });

    test('tsbuild itself pushes and pulls, and what was pushed is a base at once', async () => {
      const { name } = await startServer(person);
      const elsewhere = ['--store', person.dir('elsewhere')];
      output(await person.run(['pull', ...elsewhere, `${name}/app:1`, '-t', 'mine:1']));
      expect(output(await person.run(['run', ...elsewhere, 'mine:1'])).trim()).toBe('from the image');
      output(await person.run(['push', ...elsewhere, 'mine:1', `${name}/team/mine:1`]));
      output(await person.run(['push', ...elsewhere, '--compression', 'zstd', 'mine:1', `${name}/team/mine:2`]));
      for (const tag of [1, 2]) expect(await runs(`team/mine:${tag}`)).toBe('from the image');
      const dir = person.dir('onTop');
      writeFileSync(join(dir, 'Buildfile'), 'FROM team/mine:2\nCMD ["/bin/sh", "-c", "echo on top"]\n');
      output(await person.run(['-q', '-t', 'ontop:1', person.own(dir)]));
      output(await person.run(['pull', ...elsewhere, `${name}/ontop:1`]));
      expect(output(await person.run(['run', ...elsewhere, `${name}/ontop:1`])).trim()).toBe('on top');
    });

    test.skipIf(!installed('skopeo'))('clients log in by basic authentication and by tokens', async () => {
      const users = join(person.dir('users'), 'users');
      writeFileSync(users, `ci:${hashSync('secret', 4)}\n`);
      const layout = `oci:${person.dir('layout')}:1`;
      for (const auth of ['basic', 'token']) {
        const { name } = await startServer(person, ['--htpasswd', users, '--auth', auth, '--anonymous-pull']);
        const copy = (creds: string[], from: string, to: string): string =>
          client('skopeo', 'copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false', ...creds, from, to);
        copy([], `docker://${name}/app:1`, layout);
        expect(() => copy([], layout, `docker://${name}/in:${auth}`)).toThrow(/unauthorized|authentication required/i);
        expect(() => copy(['--dest-creds', 'ci:wrong'], layout, `docker://${name}/in:${auth}`)).toThrow(
          /unauthorized|authentication required|invalid username/i,
        );
        copy(['--dest-creds', 'ci:secret'], layout, `docker://${name}/in:${auth}`);
        expect(await runs(`in:${auth}`)).toBe('from the image');
      }
    });
  });
}
