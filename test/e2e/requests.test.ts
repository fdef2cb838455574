// What a build can be asked for beside its Buildfile, and what it tells its caller.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { installed, output, people } from '../support/tsbuild.js';

const [person] = people();

function context(files: Readonly<Record<string, string>>): string {
  const dir = person!.dir('context');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return person!.own(dir);
}

const plain = { Buildfile: 'FROM scratch\nCOPY Buildfile /\n' };

async function inspect(name: string): Promise<{ Id: string; Config: Record<string, unknown> }> {
  return JSON.parse(output(await person!.run(['inspect', name])))[0];
}

describe('files about the result', () => {
  test('--iidfile holds the digest and nothing else', async () => {
    const cwd = context(plain);
    const { stdout } = await person!.run(['-q', '--iidfile', 'iid', '.'], { cwd });
    expect(readFileSync(join(cwd, 'iid'), 'utf8')).toBe(stdout.trim());
  });

  test('--metadata-file says what docker buildx says', async () => {
    const cwd = context(plain);
    const words = ['-q', '-t', 'meta:1', '-t', 'localhost:5000/team/meta', '--metadata-file', 'meta.json', '.'];
    const digest = output(await person!.run(words, { cwd })).trim();
    const metadata = JSON.parse(readFileSync(join(cwd, 'meta.json'), 'utf8'));
    const configDigest = metadata['containerimage.config.digest'];
    expect(configDigest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(metadata).toEqual({
      'buildx.build.ref': expect.stringMatching(/^tsbuild\/tsbuild\/[0-9a-f]{32}$/),
      'buildx.build.provenance': expect.objectContaining({ buildDefinition: expect.anything() }),
      'containerimage.config.digest': configDigest,
      'containerimage.descriptor': {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest,
        size: expect.any(Number),
        annotations: {
          'config.digest': configDigest,
          'org.opencontainers.image.created': expect.stringMatching(/^\d{4}-.*Z$/),
        },
        platform: { architecture: expect.any(String), os: 'linux' },
      },
      'containerimage.digest': digest,
      'image.name': 'docker.io/library/meta:1,localhost:5000/team/meta:latest',
    });
  });

  test('metadata of a build without names has none', async () => {
    const cwd = context(plain);
    output(await person!.run(['--metadata-file', 'meta.json', '.'], { cwd }));
    expect(JSON.parse(readFileSync(join(cwd, 'meta.json'), 'utf8'))).not.toHaveProperty('image.name');
  });

  test('a metadata file that can not be written is told after the build', async () => {
    const cwd = context(plain);
    const { code, stderr } = await person!.run(['-t', 'kept:meta', '--metadata-file', 'no/meta.json', '.'], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /error\[METADATA_FILE_UNWRITABLE\]: the image was built, but its metadata can't be written to no\/meta.json: ENOENT.*\nhelp: check --metadata-file\n$/s,
    );
    await inspect('kept:meta');
  });
});

describe('names and annotations', () => {
  test('the image has every name of -t and --output', async () => {
    const cwd = context(plain);
    output(await person!.run(['-t', 'one:1', '-t', 'one:2', '-o', '"type=image","name=two:1,two:2"', '.'], { cwd }));
    const names = ['one:1', 'one:2', 'two:1', 'two:2'];
    const digests = await Promise.all(names.map(async (name) => (await inspect(name)).Id));
    expect(new Set(digests).size).toBe(1);
  });

  test('annotations are in the manifest, wherever they were given', async () => {
    const cwd = context(plain);
    const more = ['-o', 'type=image,name=noted:1,annotation.d=4,annotation-manifest.e=5'];
    const given = ['a=1', 'manifest:b=2=3', 'manifest[linux/amd64]:c=', 'org:key=v'];
    const words = given.flatMap((text) => ['--annotation', text]);
    output(await person!.run(['--platform=linux/amd64', ...words, ...more, '.'], { cwd }));
    output(await person!.run(['save', '--format', 'oci-archive', '-o', 'image.tar', 'noted:1'], { cwd }));
    if (!installed('skopeo')) return;
    const { execFileSync } = await import('node:child_process');
    const raw = execFileSync('skopeo', ['inspect', '--raw', 'oci-archive:image.tar'], { cwd, encoding: 'utf8' });
    expect(JSON.parse(raw).annotations).toEqual({ a: '1', b: '2=3', c: '', d: '4', e: '5', 'org:key': 'v' });
  });
});

describe('build arguments', () => {
  const Buildfile = 'FROM scratch\nARG A=a B=b C=c D=d\nLABEL a=$A b=$B c=$C d=$D\n';

  test('come from files, of which the last wins, and then from --build-arg', async () => {
    const first = '# comment\n\n  A=from file\r\nB="kept as it stands"\nC=first\nFROM_ENV\n';
    const cwd = context({ Buildfile, first, second: 'C=second\nD=second\n' });
    const words = ['--build-arg', 'D=given', '--build-arg-file', 'first', '--build-arg-file', 'second'];
    output(await person!.run(['-t', 'args:1', ...words, '.'], { cwd }));
    const { Labels } = (await inspect('args:1')).Config;
    expect(Labels).toEqual({ a: 'from file', b: '"kept as it stands"', c: 'second', d: 'given' });
  });

  test('of a file without a name are refused with their line', async () => {
    const cwd = context({ Buildfile, args: 'A=1\n=2\n' });
    const { code, stderr } = await person!.run(['--build-arg-file', 'args', '.'], { cwd });
    expect(code).toBe(2);
    expect(stderr).toBe(
      'error[USAGE]: --build-arg-file args: line 2 has no name before the =\nhelp: write NAME=VALUE, one on a line\n',
    );
  });
});

describe('switches and their environment', () => {
  test('a switch takes true and false as docker has it', async () => {
    const cwd = context(plain);
    const words = ['--no-cache=true', '--pull=false', '--quiet=1', '--provenance=false', '--load', '--rm=false', '.'];
    expect(output(await person!.run(words, { cwd }))).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  });

  test('--progress=none prints nothing, --progress=quiet the digest', async () => {
    const cwd = context(plain);
    expect(await person!.run(['--progress=none', '.'], { cwd })).toMatchObject({ stdout: '', stderr: '' });
    const quiet = await person!.run(['.'], { cwd, env: { BUILDKIT_PROGRESS: 'quiet' } });
    expect(quiet).toMatchObject({ stdout: expect.stringMatching(/^sha256:\S+\n$/), stderr: '' });
    const wrong = await person!.run(['.'], { cwd, env: { BUILDKIT_PROGRESS: 'loud' } });
    expect(wrong.stderr).toBe(
      'error[USAGE]: BUILDKIT_PROGRESS is "loud"\nhelp: set it to auto, plain, tty, json, quiet or none, or give --progress\n',
    );
  });

  test('DOCKER_DEFAULT_PLATFORM is the platform where --platform says none', async () => {
    const cwd = context({ Buildfile: 'FROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\n' });
    const env = { DOCKER_DEFAULT_PLATFORM: 'linux/arm64' };
    output(await person!.run(['-t', 'default:1', '.'], { cwd, env }));
    output(await person!.run(['-t', 'given:1', '--platform=linux/riscv64', '.'], { cwd, env }));
    expect((await inspect('default:1')).Config).toMatchObject({ Labels: { for: 'linux/arm64' } });
    expect((await inspect('given:1')).Config).toMatchObject({ Labels: { for: 'linux/riscv64' } });
  });
});
