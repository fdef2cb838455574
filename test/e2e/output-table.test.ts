// The fields of --output, as BuildKit documents them, one by one and together; skopeo says what came out.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

const person = people().at(-1)!;
const run = async (cwd: string, ...args: string[]): Promise<string> => output(await person.run(args, { cwd }));

interface Manifest {
  readonly mediaType: string;
  readonly config: { readonly mediaType: string };
  readonly layers: readonly { readonly mediaType: string; readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

function read(cwd: string, address: string): Manifest {
  const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', address], { cwd, stdio: 'pipe' });
  return JSON.parse(raw.toString());
}

/** The parts of types that tell them apart; of the layers the last: those of a base stay as they are known, unless forced. */
function typesOf({ mediaType, config, layers }: Manifest): string[] {
  return [mediaType, config.mediaType, layers.at(-1)!.mediaType].map((type) =>
    type.replace(/^application\/vnd\./, '').replace(/\.v1\+json$|\+json$/, ''),
  );
}

const oci = (compression: string): string[] => [
  'oci.image.manifest',
  'oci.image.config',
  `oci.image.layer.v1.tar${compression}`,
];
const docker = ['docker.distribution.manifest.v2', 'docker.container.image', 'docker.image.rootfs.diff.tar.gzip'];

/** `FIELDS` of an archive, a layout and an image in a registry alike. */
const forms: readonly (readonly [fields: string, types: readonly string[]])[] = [
  ['', oci('+gzip')],
  ['compression=gzip', oci('+gzip')],
  ['compression=gzip,compression-level=9,force-compression=true', oci('+gzip')],
  ['compression=zstd', oci('+zstd')],
  ['compression=zstd,compression-level=10,force-compression=true', oci('+zstd')],
  ['compression=uncompressed', oci('')],
  ['compression=estargz', oci('+gzip')],
  ['oci-mediatypes=false', docker],
  ['oci-mediatypes=false,compression=gzip,compression-level=1', docker],
  ['oci-mediatypes=true,compression=zstd', oci('+zstd')],
];

describe.skipIf(!installed('skopeo'))('the fields of --output', () => {
  let cwd: string;
  beforeAll(() => {
    cwd = person.dir('context');
    writeFileSync(
      join(cwd, 'Buildfile'),
      'FROM host://sh,coreutils\nRUN echo hi > /hi\nCOPY a /a\nCMD ["cat", "/hi"]\n',
    );
    writeFileSync(join(cwd, 'a'), 'alpha\n');
    person.own(cwd);
  });

  test('give archives and layouts of every form, all of one build', async () => {
    const words = forms.flatMap(([fields], i) => [
      '-o',
      ['type=oci', `dest=${i}.tar`, fields].filter(Boolean).join(','),
      '-o',
      ['type=oci', 'tar=false', `dest=layout-${i}`, 'name=it:1', fields].filter(Boolean).join(','),
    ]);
    await run(cwd, ...words, '.');
    for (const [i, [fields, types]] of forms.entries()) {
      const archive = read(cwd, `oci-archive:${i}.tar`);
      expect([fields, typesOf(archive)]).toEqual([fields, types]);
      expect([fields, read(cwd, `oci:layout-${i}`)]).toEqual([fields, archive]);
    }
    const digests = (i: number): string[] => read(cwd, `oci-archive:${i}.tar`).layers.map(({ digest }) => digest);
    expect(digests(1)).not.toEqual(digests(2));
    expect(digests(3)).not.toEqual(digests(4));
  });

  test('type=docker is read as a docker archive and as a layout', async () => {
    await run(cwd, '-o', 'type=docker,dest=d.tar,name=it:1', '.');
    const config = execFileSync('skopeo', ['inspect', '--config', '--raw', 'docker-archive:d.tar:it:1'], { cwd });
    expect(JSON.parse(config.toString()).config.Cmd).toEqual(['cat', '/hi']);
    expect(typesOf(read(cwd, 'oci-archive:d.tar'))).toEqual(oci('+gzip'));
  });

  test('--load, type=docker without dest, and type=image are the store', async () => {
    await run(cwd, '-t', 'loaded:1', '--load', '-o', 'type=tar,dest=files.tar', '.');
    await run(cwd, '-o', 'type=docker,name=loaded:2', '.');
    await run(cwd, '-o', '"type=image","name=loaded:3,loaded:4"', '.');
    for (const name of ['loaded:1', 'loaded:2', 'loaded:3', 'loaded:4'])
      expect(await run(cwd, 'run', name)).toBe('hi\n');
    expect(execFileSync('tar', ['-tf', join(cwd, 'files.tar')]).toString()).toContain('hi\n');
    expect(existsSync(join(cwd, 'files.tar'))).toBe(true);
  });

  test.skipIf(!hasRegistry())('type=image,push=true, type=registry and --push send every form', async () => {
    const registry = await startRegistry();
    const name = (tag: string): string => `${registry.name}/form:${tag}`;
    const words = forms.flatMap(([fields], i) => [
      '-o',
      ['type=image', 'push=true', `name=${name(String(i))}`, fields].filter(Boolean).join(','),
    ]);
    await run(cwd, ...words, '-o', `type=registry,name=${name('r')},compression=zstd,force-compression=true`, '.');
    await run(cwd, '-t', name('p'), '--push', '.');
    for (const [i, [fields, types]] of forms.entries()) {
      expect([fields, typesOf(read(cwd, `docker://${name(String(i))}`))]).toEqual([fields, types]);
    }
    expect(typesOf(read(cwd, `docker://${name('r')}`))).toEqual(oci('+zstd'));
    expect(typesOf(read(cwd, `docker://${name('p')}`))).toEqual(oci('+gzip'));
    // Layers of a base keep the form that they have in a registry, unless they are forced.
    const on = person.dir('on');
    writeFileSync(join(on, 'Buildfile'), `FROM ${name('p')}\nRUN echo more > /more\n`);
    person.own(on);
    const store = ['--store', join(on, 'store')]; // it knows of the base what it pulled
    const zstd = 'compression=zstd';
    await run(on, ...store, '-o', `type=registry,name=${name('on')},${zstd}`, '.');
    await run(on, ...store, '-o', `type=registry,name=${name('forced')},${zstd},force-compression=true`, '.');
    const kinds = (tag: string): string[] =>
      read(on, `docker://${name(tag)}`).layers.map(({ mediaType }) => mediaType.replace(/^.*tar/, ''));
    expect(kinds('p')).toContain('+gzip');
    expect(kinds('on')).toEqual([...kinds('p'), '+zstd']);
    expect(kinds('forced')).toEqual(Array(4).fill('+zstd'));
  });

  test.skipIf(!hasRegistry())('an index with what is attested is the same in all outputs of one build', async () => {
    const registry = await startRegistry();
    const name = `${registry.name}/attested:1`;
    const archive = 'type=oci,dest=attested.tar';
    const layout = 'type=oci,tar=false,dest=attested';
    const args = ['--provenance=mode=min', '-q', '-t', name, '-o', archive, '-o', layout, '-o', 'type=image,push=true'];
    const digest = (await run(cwd, ...args, '.')).trim();
    const there = read(cwd, `docker://${name}`);
    expect(there.manifests).toHaveLength(2);
    expect(read(cwd, 'oci:attested')).toEqual(there);
    expect(await run(cwd, 'copy', '-q', 'oci-archive:attested.tar', 'oci:copied')).toBe(`${digest}\n`);
    expect(await run(cwd, 'copy', '-q', `docker://${name}`, 'dir:directory')).toBe(`${digest}\n`);
    expect(JSON.parse(readFileSync(join(cwd, 'directory/manifest.json'), 'utf8'))).toEqual(there);
  });
});
