// tsbuild copy through the command line: what it says, what is there afterwards, and what it refuses.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { attestedIndex, type SampleLayout, tag } from '../store/copy-samples.js';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

const person = people().at(-1)!;
const run = async (...args: string[]): Promise<string> => output(await person.run(args));
const refused = async (...args: string[]): Promise<string> => {
  const { code, stderr, stdout } = await person.run(args);
  expect([code, stdout]).toEqual([expect.toSatisfy((value) => value === 1 || value === 2), '']);
  return stderr;
};

describe('copy', () => {
  let app: string;
  beforeAll(async () => {
    const dir = person.dir('app');
    writeFileSync(join(dir, 'Buildfile'), 'FROM host://sh,coreutils\nRUN echo hi > /hi\nCMD ["cat", "/hi"]\n');
    await run('-t', 'app:1', person.own(dir));
    app = (JSON.parse(await run('inspect', 'app:1')) as [{ Manifest: { config: { digest: string } } }])[0].Manifest
      .config.digest;
  });

  test.skipIf(!hasRegistry())('says what it did, mounts what the registry has, and keeps the digest', async () => {
    const registry = await startRegistry();
    const name = `${registry.name}/app:1`;
    const digest = (await run('push', '-q', 'app:1', name)).trim();
    const before = registry.requests().filter((line) => /^(PATCH|PUT) .*\/blobs\//.test(line)).length;
    const file = join(person.home, 'digest');
    const other = `${registry.name}/team/app:2`;
    expect(await run('copy', '--digestfile', file, `docker://${name}`, `docker://${other}`)).toBe(
      `copied docker://${name} to docker://${other} ${digest}\n`,
    );
    expect(readFileSync(file, 'utf8')).toBe(digest);
    expect(registry.requests().filter((line) => /^(PATCH|PUT) .*\/blobs\//.test(line))).toHaveLength(before);
    expect(await run('copy', '-q', `docker://${other}`, 'store:again:1')).toBe(`${digest}\n`);
    expect(await run('run', 'again:1')).toBe('hi\n');
    // Nothing of the store is needed on the way from elsewhere to elsewhere.
    const dir = person.dir('no-store');
    const store = join(dir, 'store');
    await run('copy', '-q', '--store', store, `docker://${other}`, `oci:${dir}/layout:1`);
    expect(existsSync(store)).toBe(false);
    expect(await run('copy', '-q', 'app:1', `docker://${registry.name}/pushed:1`)).toBe(`${digest}\n`);
  });

  test.skipIf(!installed('skopeo'))('writes an archive into a pipe and reads one from it', async () => {
    const dir = person.dir('pipe');
    for (const format of ['docker-archive', 'oci-archive']) {
      const archive = join(dir, format);
      const tsbuild = join(process.cwd(), 'bin/tsbuild');
      execFileSync('sh', ['-c', `"$0" copy -q app:1 ${format}:- > ${archive}`, tsbuild], {
        env: { ...process.env, TSBUILD_STORE: person.store },
      });
      const config = execFileSync('skopeo', ['inspect', '--raw', '--config', `${format}:${archive}`]);
      expect(`sha256:${execFileSync('sha256sum', { input: config }).toString().slice(0, 64)}`).toBe(app);
      execFileSync('sh', ['-c', `gzip -c ${archive} | "$0" copy -q ${format}:- oci:${dir}/from-${format}`, tsbuild]);
      expect(readdirSync(join(dir, `from-${format}`)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    }
    person.own(person.home);
  });

  test('says of an index that one image fits into a docker-archive, and which there are', async () => {
    const { dir } = readable(await attestedIndex());
    const target = join(person.dir('one'), 'app.tar');
    const said = await refused('copy', `oci:${dir}:${tag}`, `docker-archive:${target}`);
    expect(said).toContain('error[COPY_NEEDS_PLATFORM]: ');
    expect(said).toContain('is an index (linux/amd64, linux/arm64)');
    expect(said).toContain('help: say which one: --platform linux/amd64');
    expect(existsSync(target)).toBe(false);
    await run('copy', '--platform', 'linux/arm64', `oci:${dir}:${tag}`, `docker-archive:${target}`);
    expect(existsSync(target)).toBe(true);
    expect(await refused('copy', '--platform', 'linux/s390x', `oci:${dir}:${tag}`, `oci:${target}2`)).toContain(
      'error[PLATFORM_NOT_IN_INDEX]: ',
    );
    const changed = await refused('copy', '--compression', 'zstd', `oci:${dir}:${tag}`, `oci:${target}3`);
    expect(changed).toContain('error[COPY_CHANGES_ATTESTED]: ');
    expect(existsSync(`${target}3`)).toBe(false);
  });

  test('knows --format, --compression and --preserve-digests', async () => {
    const dir = person.dir('forms');
    await run('copy', '--format', 'v2s2', '--compression', 'gzip', 'app:1', `dir:${dir}/docker`);
    const manifest = JSON.parse(readFileSync(join(dir, 'docker/manifest.json'), 'utf8'));
    expect(manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
    expect(manifest.layers[0].mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar.gzip');
    expect(await refused('copy', '--format', 'v2s2', '--compression', 'zstd', 'app:1', `dir:${dir}/zstd`)).toContain(
      "error[COPY_FORMAT]: app:1 has layers compressed with zstd: Docker's schema 2 has no name for that",
    );
    expect(await refused('copy', '--preserve-digests', '--compression', 'zstd', 'app:1', `oci:${dir}/kept`)).toContain(
      'error[COPY_CHANGES_DIGEST]: app:1 would have another digest at ',
    );
  });

  for (const [args, message] of [
    [['docker-daemon:x:1', 'oci:x'], 'docker-daemon: is not supported'],
    [['containers-storage:x:1', 'oci:x'], "help: 'podman push IMAGE oci:DIR'"],
    [['app:1', './out'], './out is a path: it does not say what kind of image is there'],
    [['app:1', 'dockr://x/y'], 'did you mean docker:?'],
    [['docker:24', 'oci:x'], 'error[IMAGE_NOT_FOUND]: the store has no image "docker:24"'],
    [['app:1', 'oci:'], 'oci: names no path'],
    [['ap:1', 'oci:x'], 'did you mean app:1?'],
    [['oci:/nonexistent', 'oci:x'], 'error[LAYOUT_NOT_FOUND]: /nonexistent is no OCI image layout'],
    [['oci-archive:/nonexistent', 'oci:x'], 'error[ARCHIVE_NOT_FOUND]: there is no file /nonexistent'],
    [
      ['dir:/nonexistent', 'oci:x'],
      'error[DIR_IMAGE_INVALID]: /nonexistent is no image directory: it has no manifest.json',
    ],
    [['app:1', 'oci-archive:/nonexistent/x.tar'], "error[ARCHIVE_UNWRITABLE]: /nonexistent/x.tar can't be written"],
    [['app:1', 'docker://localhost:1/x@sha256:0'], 'error[REFERENCE_INVALID]'],
    [['--all', '--platform', 'linux/amd64', 'app:1', 'oci:x'], 'both --all and --platform are given'],
    [['--compression-level', '5', 'app:1', 'oci:x'], '--compression-level without a compression'],
    [['--dest-compress', '--compression', 'zstd', 'app:1', 'oci:x'], "layers can't be both zstd and gzip"],
    [['--multi-arch', 'all', 'app:1', 'oci:x'], 'copy has no option --multi-arch yet'],
  ] as const) {
    test(`refuses ${args.join(' ')}`, async () => {
      expect(await refused('copy', ...args)).toContain(message);
      expect(readdirSync(person.home)).not.toContain('x');
    });
  }

  test('leaves a directory alone that holds something else', async () => {
    const dir = person.dir('mine');
    mkdirSync(join(dir, 'sub'));
    writeFileSync(join(dir, 'file'), 'mine');
    person.own(dir);
    expect(await refused('copy', 'app:1', `oci:${dir}`)).toContain('error[LAYOUT_DIR_NOT_EMPTY]: ');
    expect(await refused('copy', 'app:1', `dir:${dir}`)).toContain('error[DIR_NOT_EMPTY]: ');
    expect(readdirSync(dir).sort()).toEqual(['file', 'sub']);
  });
});

function readable(layout: SampleLayout): SampleLayout {
  const dir = join(person.dir('layout'), 'it');
  execFileSync('cp', ['-r', layout.dir, dir]);
  person.own(dir);
  return { ...layout, dir };
}
