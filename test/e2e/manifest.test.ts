// Lists of images for several platforms, through the command line: made of what is here and elsewhere, changed, sent, brought
// back whole, and run.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { attestedIndex, tag } from '../store/copy-samples.js';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

interface Entry {
  readonly digest: string;
  readonly mediaType: string;
  readonly platform: { readonly architecture: string; readonly variant?: string; readonly 'os.features'?: string[] };
  readonly annotations?: Record<string, string>;
}

interface Index {
  readonly manifests: readonly Entry[];
  readonly annotations?: Record<string, string>;
}

const person = people().at(-1)!;
const run = async (...args: string[]): Promise<string> => output(await person.run(args));
const inspect = async (...args: string[]): Promise<Index> => JSON.parse(await run('manifest', 'inspect', ...args));
const refused = async (...args: string[]): Promise<string> => {
  const { code, stderr } = await person.run(args);
  expect(code).toSatisfy((value) => value === 1 || value === 2);
  return stderr;
};

/** A program that runs here, in an image that says it is for another machine: it runs, but has to be asked for. */
async function build(name: string, said: string): Promise<void> {
  const dir = person.dir('build');
  writeFileSync(join(dir, 'Buildfile'), `FROM host://sh,coreutils\nRUN echo ${said} > /said\nCMD ["cat", "/said"]\n`);
  await run('-q', '-t', name, person.own(dir));
}

/** A layout of an index for amd64 and arm64, with attestations; its images hold no programs. */
async function foreignIndex(): Promise<{ address: string; digest: string }> {
  const made = await attestedIndex();
  const dir = join(person.dir('foreign'), 'layout');
  execFileSync('cp', ['-r', made.dir, dir]);
  person.own(dir);
  return { address: `oci:${dir}:${tag}`, digest: made.digest };
}

describe('a list of images', () => {
  beforeAll(async () => {
    await build('one:1', 'one');
    await build('two:1', 'two');
  });

  test('is made, added to, annotated, cut and removed', async () => {
    expect(await run('manifest', 'create', 'list:1', 'one:1')).toMatch(/^created list:1 sha256:[0-9a-f]{64}\n$/);
    expect(await refused('manifest', 'create', 'list:1', 'two:1')).toContain(
      'error[MANIFEST_EXISTS]: list:1 exists already',
    );
    await run('manifest', 'add', '--arch', 'arm64', '--variant', 'v8', '--annotation', 'a=b', 'list:1', 'two:1');
    const added = await inspect('list:1');
    expect(added.manifests.map(({ platform }) => platform.architecture)).toEqual([expect.any(String), 'arm64']);
    expect(added.manifests[1]).toMatchObject({ platform: { variant: 'v8', os: 'linux' }, annotations: { a: 'b' } });

    await run('manifest', 'annotate', '--os-features', 'sse4,avx', '--os-version', '6.1', 'list:1', 'two:1');
    await run('manifest', 'annotate', '--index', '--annotation', 'x=y', 'list:1');
    const annotated = await inspect('list:1');
    expect(annotated.annotations).toEqual({ x: 'y' });
    expect(annotated.manifests[1]).toMatchObject({
      platform: { 'os.features': ['sse4', 'avx'], 'os.version': '6.1', variant: 'v8' },
      annotations: { a: 'b' },
    });
    expect(await run('images', '--tree', 'list')).toMatch(/list +1 .*2 platforms.*\n├─ .*\n└─ .*linux\/arm64/);
    expect(await run('run', 'list:1')).toBe('one\n');

    await run('manifest', 'create', '--amend', '--annotation', 'z=1', 'list:1', 'one:1');
    expect(await inspect('list:1')).toMatchObject({ annotations: { x: 'y', z: '1' }, manifests: { length: 2 } });
    await run('manifest', 'remove', 'list:1', 'linux/arm64/v8');
    expect((await inspect('list:1')).manifests).toHaveLength(1);
    expect(await refused('manifest', 'remove', 'list:1', 'linux/s390x')).toContain(
      'error[MANIFEST_NO_ENTRY]: list:1 has no image linux/s390x',
    );
    expect(await refused('manifest', 'rm', 'one:1')).toContain('error[MANIFEST_NO_LIST]: one:1 is one image');
    expect(await run('manifest', 'rm', 'list:1')).toBe('untagged list:1\n');
    expect(await run('run', 'one:1')).toBe('one\n');
  });

  for (const [args, message] of [
    [['create', 'l:1', 'nope:1'], 'one of a registry is written docker://nope:1'],
    [['add', 'nope:1', 'one:1'], 'error[IMAGE_NOT_FOUND]'],
    [['add', 'one:1', 'two:1'], 'error[MANIFEST_NO_LIST]: one:1 is one image, not a list of them'],
    [['annotate', 'one:1'], 'no image of the list is named'],
    [['create', '--annotation', 'x', 'l:1', 'one:1'], '--annotation x: there is no KEY=VALUE'],
    [['push', 'one:1'], 'error[MANIFEST_NO_LIST]'],
    [['puhs', 'one:1'], 'did you mean tsbuild manifest push?'],
  ] as const) {
    test(`refuses manifest ${args.join(' ')}`, async () => {
      expect(await refused('manifest', ...args)).toContain(message);
    });
  }

  test.skipIf(!hasRegistry())('goes to a registry compressed, and every program reads it there', async () => {
    const registry = await startRegistry();
    const name = `${registry.name}/team/list:1`;
    await run('manifest', 'create', 'sent:1', 'one:1');
    await run('manifest', 'add', '--arch', 's390x', 'sent:1', 'two:1');
    const file = join(person.home, 'list-digest');
    const said = await run('manifest', 'push', '--all', '--digestfile', file, 'sent:1', name);
    expect(said).toMatch(new RegExp(`^pushed sent:1 \\(2 entries\\) to ${name} sha256:`));
    const there = await inspect(`docker://${name}`);
    expect(there.manifests.map(({ platform }) => platform.architecture)[1]).toBe('s390x');
    const manifest = JSON.parse(await run('inspect', '--raw', '--platform', 'linux/s390x', `docker://${name}`));
    expect(manifest.layers.map(({ mediaType }: Entry) => mediaType)).toEqual([
      'application/vnd.oci.image.layer.v1.tar+gzip',
      'application/vnd.oci.image.layer.v1.tar+gzip',
    ]);
    if (installed('skopeo')) {
      const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
      expect(JSON.parse(raw.toString())).toEqual(there);
    }
    // As docker's schema 2; and once more, as nothing of it is new.
    await run('manifest', 'push', '--format', 'v2s2', '--rm', 'sent:1', `${registry.name}/team/list:2`);
    expect(await inspect(`docker://${registry.name}/team/list:2`)).toMatchObject({
      mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json',
    });
    expect(await run('images', '-q', 'sent')).toBe('');
  });

  test.skipIf(!hasRegistry())('is made in a registry of what lies there, and nothing moves', async () => {
    const registry = await startRegistry();
    const at = (name: string): string => `docker://${registry.name}/${name}`;
    await run('copy', 'one:1', at('a/one:1'));
    await run('copy', 'two:1', at('b/two:1'));
    const store = join(person.dir('none'), 'store');
    const before = registry.requests().filter((line) => line.startsWith('PATCH')).length;
    await run('manifest', 'create', '--store', store, at('a/list:1'), at('a/one:1'), at('b/two:1'));
    expect((await inspect(at('a/list:1'))).manifests).toHaveLength(2);
    expect(registry.requests().filter((line) => line.startsWith('PATCH'))).toHaveLength(before);
  });
});

describe('an index from elsewhere', () => {
  test.skipIf(!hasRegistry())('is pulled whole, or for some platforms, or for one', async () => {
    const registry = await startRegistry();
    const name = `${registry.name}/foreign:1`;
    const { address, digest } = await foreignIndex();
    await run('copy', '-q', address, `docker://${name}`);
    const store = (label: string): string[] => ['--store', join(person.home, label)];

    expect((await run('pull', '-q', '--all-platforms', ...store('all'), name)).trim()).toBe(digest);
    expect((await inspect(...store('all'), name)).manifests).toHaveLength(4);
    const listed = JSON.parse(await run('images', '--format', 'json', ...store('all')));
    expect(listed).toMatchObject({ digest, platforms: ['linux/amd64', 'linux/arm64'] });
    expect(listed.images.filter(({ packed }: { packed: boolean }) => packed).length).toBeGreaterThan(0);
    // What is for others is looked into when somebody asks, and goes on as it came.
    for (const platform of ['linux/amd64', 'linux/arm64']) {
      expect(await run('history', '--platform', platform, ...store('all'), name)).toContain('LAYER');
    }
    expect((await run('push', '-q', ...store('all'), name, `${registry.name}/again:1`)).trim()).toBe(digest);
    const archive = join(person.home, 'whole.tar');
    await run('save', '--format', 'oci-archive', '-o', archive, ...store('all'), name);
    expect((await run('copy', '-q', `oci-archive:${archive}`, `docker://${registry.name}/saved:1`)).trim()).toBe(
      digest,
    );
    expect(await run('inspect', '--format', 'text', ...store('all'), name)).toMatch(/linux\/arm64 .* 1\n/);

    const some = (await run('pull', '-q', '--platform', 'linux/arm64,linux/amd64', ...store('some'), name)).trim();
    expect(some).not.toBe(digest);
    expect((await inspect(...store('some'), name)).manifests).toHaveLength(4);
    const one = (await run('pull', '-q', '--platform', 'linux/arm64', ...store('one'), name)).trim();
    expect(JSON.parse(await run('inspect', ...store('one'), name))[0]).toMatchObject({
      Id: one,
      Architecture: 'arm64',
    });
    expect(await refused('pull', '--platform', 'linux/s390x', ...store('one'), name)).toContain(
      'error[PLATFORM_NOT_IN_INDEX]',
    );
    expect(await refused('pull', '-a', '--platform', 'linux/s390x', name)).toContain('both --all-platforms and');
  });

  test('lists, tags, filters and removes it as one image', async () => {
    const { address, digest } = await foreignIndex();
    const store = ['--store', join(person.home, 'listed')];
    await run('copy', '-q', ...store, address, 'foreign:1');
    await run('tag', ...store, 'foreign:1', 'team/other:2');
    expect(await run('images', '-q', '--no-trunc', ...store)).toBe(`${digest}\n`);
    expect(await run('images', ...store, 'team/*')).toMatch(/^REPOSITORY.*\nteam\/other +2 /);
    expect(await run('images', '-q', '--filter', 'label=none', ...store)).toBe('');
    expect(await run('images', '-q', '--filter', 'until=1h', ...store)).toBe('');
    expect(await run('images', '-q', '--filter', 'dangling=true', ...store)).toBe('');
    expect(await refused('images', '--filter', 'labl=x', ...store)).toContain('did you mean label?');
    expect(await refused('images', '--filter', 'before=nope', ...store)).toContain('--filter names nope');
    const [child] = (await inspect(...store, 'foreign:1')).manifests;
    await run('rmi', ...store, 'foreign:1');
    expect(await refused('rmi', ...store, child!.digest)).toMatch(/error\[IMAGE_(IN_INDEX|NOT_FOUND)\]/);
    await run('rmi', ...store, 'team/other:2');
    expect(await run('images', '-a', '-q', ...store)).toBe('');
  });
});
