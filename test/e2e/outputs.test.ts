// --output in all its kinds, read by other programs: tar, skopeo, umoci, zstd, Debian's registry.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, isRoot, output, type Person, people, writeContext } from '../support/tsbuild.js';

const Buildfile = `FROM scratch
COPY a /srv/a
COPY sub /srv/sub
COPY --chown=12:34 --chmod=4755 a /srv/owned
LABEL kept=yes
`;

function context(person: Person, files: Readonly<Record<string, string>> = {}): string {
  const dir = person.dir('out');
  writeContext(dir, { Buildfile, a: 'alpha\n', 'sub/b': 'beta\n', ...files }, writeFileSync);
  symlinkSync('../a', join(dir, 'sub/link'));
  return person.own(dir);
}

function json(bytes: Buffer | string) {
  return JSON.parse(String(bytes));
}

interface Spdx {
  readonly predicateType: string;
  readonly predicate: { readonly name: string; readonly files: readonly { readonly fileName: string }[] };
}

function unpacked(cwd: string, archive: string): string {
  const dir = join(cwd, `${archive}.d`);
  mkdirSync(dir);
  execFileSync('tar', ['xf', join(cwd, archive), '-C', dir]);
  return dir;
}

function blob(dir: string, digest: string): Buffer {
  const bytes = readFileSync(join(dir, 'blobs/sha256', digest.slice('sha256:'.length)));
  expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest);
  return bytes;
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('BUILDKIT_MULTI_PLATFORM makes an index of the one image, which every command takes for it', async () => {
      const cwd = context(person);
      const asked = ['-q', '--build-arg', 'BUILDKIT_MULTI_PLATFORM=1', '--annotation', 'index:a=b', '-t', 'listed:1'];
      output(await person.run([...asked, '-o', 'type=image', '-o', 'type=oci,dest=listed.tar', '.'], { cwd }));
      const dir = unpacked(cwd, 'listed.tar');
      const [top] = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')).manifests;
      const index = JSON.parse(blob(dir, top.digest).toString());
      expect(index.annotations).toEqual({ a: 'b' });
      expect(index.manifests).toHaveLength(1);
      expect(index.manifests[0].platform.os).toBe('linux');
      expect(JSON.parse(blob(dir, index.manifests[0].digest).toString()).layers.length).toBeGreaterThan(0);
      const [seen] = JSON.parse(output(await person.run(['inspect', 'listed:1'])));
      expect(seen.Id).toBe(top.digest);
      const plain = output(await person.run(['-q', '-t', 'plain:1', '.'], { cwd })).trim();
      expect(plain).not.toBe(top.digest);
    });

    test('-o DIR writes the files, owned by whoever runs it, beside what is there', async () => {
      const cwd = context(person);
      mkdirSync(join(cwd, 'out/srv/sub'), { recursive: true });
      writeFileSync(join(cwd, 'out/srv/kept'), 'kept');
      writeFileSync(join(cwd, 'out/srv/a'), 'old');
      person.own(join(cwd, 'out'));
      output(await person.run(['-o', 'out', '.'], { cwd }));
      const out = join(cwd, 'out');
      expect(readdirSync(out, { recursive: true }).sort()).toEqual([
        ...['srv', 'srv/a', 'srv/kept', 'srv/owned', 'srv/sub', 'srv/sub/b', 'srv/sub/link'],
      ]);
      expect(readFileSync(join(out, 'srv/a'), 'utf8')).toBe('alpha\n');
      expect(readlinkSync(join(out, 'srv/sub/link'))).toBe('../a');
      const { uid, gid, mode } = lstatSync(join(out, 'srv/owned'));
      const { uid: own, gid: ownGroup } = statSync(cwd);
      expect([uid, gid, mode & 0o7777]).toEqual([own, ownGroup, 0o4755]);
    });

    test('a link in the directory leads nowhere', async () => {
      const cwd = context(person);
      const elsewhere = person.dir('elsewhere');
      mkdirSync(join(cwd, 'out'));
      symlinkSync(elsewhere, join(cwd, 'out/srv'));
      person.own(join(cwd, 'out'));
      output(await person.run(['-o', 'type=local,dest=out', '.'], { cwd }));
      expect(readdirSync(elsewhere)).toEqual([]);
      expect(lstatSync(join(cwd, 'out/srv')).isDirectory()).toBe(true);
    });

    test('directories that are closed even to their owner come too', async () => {
      const closed =
        'FROM host://sh,coreutils AS one\nRUN mkdir -p /r/ro && touch /r/ro/f && chmod 555 /r/ro\nFROM scratch\nCOPY --from=one /r /r\n';
      const cwd = context(person, { Buildfile: closed });
      for (let i = 0; i < 2; i += 1) output(await person.run(['-o', 'out', '.'], { cwd }));
      expect(statSync(join(cwd, 'out/r/ro')).mode & 0o777).toBe(0o555);
      expect(existsSync(join(cwd, 'out/r/ro/f'))).toBe(true);
      execFileSync('chmod', ['-R', 'u+w', join(cwd, 'out')]);
    });
  });
}

const person = people()[0]!;

describe('files', () => {
  test('-o - is a tar of them with their owners', async () => {
    const cwd = context(person);
    output(await person.run(['-o', 'type=tar,dest=out.tar', '.'], { cwd }));
    const listed = execFileSync('tar', ['--numeric-owner', '-tvf', 'out.tar'], { cwd, encoding: 'utf8' });
    expect(listed.split('\n').map((line) => line.replace(/ +\d+ \d{4}-\S+ \S+/, ''))).toEqual([
      'drwxr-xr-x 0/0 srv/',
      '-rw-r--r-- 0/0 srv/a',
      '-rwsr-xr-x 12/34 srv/owned',
      'drwxr-xr-x 0/0 srv/sub/',
      '-rw-r--r-- 0/0 srv/sub/b',
      'lrwxrwxrwx 0/0 srv/sub/link -> ../a',
      '',
    ]);
    const child = person.start(['-q', '-o', '-', '.'], { cwd });
    const chunks: Buffer[] = [];
    child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stdin!.end();
    await new Promise((resolve) => child.on('close', resolve));
    expect(
      Buffer.concat(chunks)
        .subarray(0, 4096)
        .equals(readFileSync(join(cwd, 'out.tar')).subarray(0, 4096)),
    ).toBe(true);
  });

  test('platform-split puts them into a directory of that name', async () => {
    const cwd = context(person);
    output(
      await person.run(['--platform=linux/arm/v7', '-o', 'type=local,dest=out,platform-split=true', '.'], { cwd }),
    );
    expect(readdirSync(join(cwd, 'out'))).toEqual(['linux_arm_v7']);
  });

  test('what can not be written is said, and nothing is left', async () => {
    const cwd = context(person, { out: 'a file' });
    const { code, stderr } = await person.run(['-o', 'type=local,dest=out', '.'], { cwd });
    expect(code).toBe(1);
    expect(stderr).toContain("error[OUTPUT_UNWRITABLE]: out can't be written: ");
    expect(readFileSync(join(cwd, 'out'), 'utf8')).toBe('a file');
  });
});

describe('several outputs at once', () => {
  test('an archive for podman, one for docker, a layout, files and the store', async () => {
    const cwd = context(person);
    const words = [
      'type=oci,dest=o.tar',
      'type=docker,dest=d.tar',
      'type=oci,dest=l,tar=false',
      'type=local,dest=f',
      'type=image',
    ];
    output(await person.run(['-t', 'all:1', ...words.flatMap((word) => ['-o', word]), '.'], { cwd }));
    expect(readFileSync(join(cwd, 'f/srv/a'), 'utf8')).toBe('alpha\n');
    output(await person.run(['inspect', 'all:1']));
    const archive = unpacked(cwd, 'o.tar');
    const [entry] = json(readFileSync(join(archive, 'index.json'))).manifests;
    expect(entry.annotations['io.containerd.image.name']).toBe('docker.io/library/all:1');
    const manifest = json(blob(archive, entry.digest));
    expect(new Set(manifest.layers.map((layer: { mediaType: string }) => layer.mediaType))).toEqual(
      new Set(['application/vnd.oci.image.layer.v1.tar+gzip']),
    );
    expect(json(readFileSync(join(cwd, 'l/index.json'))).manifests[0].digest).toBe(entry.digest);
    const docker = unpacked(cwd, 'd.tar');
    const [listed] = json(readFileSync(join(docker, 'manifest.json')));
    expect(listed.RepoTags).toEqual(['all:1']);
    const diffIds = json(readFileSync(join(docker, listed.Config))).rootfs.diff_ids;
    const tars = listed.Layers.map((layer: string) => gunzipSync(readFileSync(join(docker, layer))));
    expect(tars.map((tar: Buffer) => `sha256:${createHash('sha256').update(tar).digest('hex')}`)).toEqual(diffIds);
    if (installed('skopeo')) {
      for (const name of ['oci-archive:o.tar', 'docker-archive:d.tar', 'oci:l']) {
        const { Labels } = json(execFileSync('skopeo', ['inspect', name], { cwd }));
        expect(Labels).toEqual({ kept: 'yes' });
      }
    }
    if (installed('umoci') && isRoot) {
      execFileSync('umoci', ['unpack', '--image', 'l:docker.io/library/all:1', 'bundle'], { cwd, stdio: 'ignore' });
      expect(readFileSync(join(cwd, 'bundle/rootfs/srv/a'), 'utf8')).toBe('alpha\n');
    }
  });

  test("Docker's types where they are asked for, but not for zstd", async () => {
    const cwd = context(person);
    const words = [
      'type=oci,dest=o.tar,oci-mediatypes=false',
      'type=oci,dest=z.tar,oci-mediatypes=false,compression=zstd,compression-level=19',
    ];
    output(await person.run([...words.flatMap((word) => ['-o', word]), '.'], { cwd }));
    const types = (archive: string): string[] => {
      const dir = unpacked(cwd, archive);
      const manifest = json(blob(dir, json(readFileSync(join(dir, 'index.json'))).manifests[0].digest));
      return [manifest.mediaType, manifest.config.mediaType, manifest.layers[0].mediaType];
    };
    expect(types('o.tar')).toEqual([
      'application/vnd.docker.distribution.manifest.v2+json',
      'application/vnd.docker.container.image.v1+json',
      'application/vnd.docker.image.rootfs.diff.tar.gzip',
    ]);
    expect(types('z.tar')).toEqual([
      'application/vnd.oci.image.manifest.v1+json',
      'application/vnd.oci.image.config.v1+json',
      'application/vnd.oci.image.layer.v1.tar+zstd',
    ]);
  });

  test('annotations stand where they are meant to', async () => {
    const cwd = context(person);
    const given = ['manifest:a=1', 'index,index-descriptor:b=2', 'manifest-descriptor:c=3'].flatMap((text) => [
      '--annotation',
      text,
    ]);
    output(
      await person.run(['--provenance=true', ...given, '-o', 'type=oci,dest=o.tar,annotation-index.d=4', '.'], { cwd }),
    );
    const dir = unpacked(cwd, 'o.tar');
    const [entry] = json(readFileSync(join(dir, 'index.json'))).manifests;
    const index = json(blob(dir, entry.digest));
    expect(entry.annotations).toEqual({ b: '2' });
    expect(index.annotations).toEqual({ b: '2', d: '4' });
    expect(index.manifests[0].annotations).toEqual({ c: '3' });
    expect(json(blob(dir, index.manifests[0].digest)).annotations).toEqual({ a: '1' });
  });
});

describe('provenance', () => {
  const withSecrets =
    'ARG TOKEN\nFROM host://sh,coreutils\nARG TOKEN\nRUN --mount=type=secret,id=pass echo "$TOKEN" > /t\n';

  async function attested(mode: string) {
    const cwd = context(person, { Buildfile: withSecrets, pass: 'swordfish' });
    const words = [
      `--provenance=mode=${mode},builder-id=https://example.com/1`,
      '-t',
      'attested:1',
      '-o',
      'type=oci,dest=o.tar',
    ];
    output(
      await person.run(
        [...words, '--build-arg', 'TOKEN=leaky', '--label', 'l=leaky', '--secret', 'id=pass,src=pass', '.'],
        { cwd },
      ),
    );
    const dir = unpacked(cwd, 'o.tar');
    const index = json(blob(dir, json(readFileSync(join(dir, 'index.json'))).manifests[0].digest));
    const manifest = json(blob(dir, index.manifests[1].digest));
    return { index, manifest, statement: json(blob(dir, manifest.layers[0].digest)), dir };
  }

  test('is an OCI artifact about the image, in an index beside it', async () => {
    const { index, manifest, statement, dir } = await attested('min');
    const [image, about] = index.manifests;
    expect(about).toMatchObject({
      platform: { architecture: 'unknown', os: 'unknown' },
      annotations: {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': image.digest,
      },
    });
    expect(manifest).toMatchObject({
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2, data: 'e30=' },
      subject: { digest: image.digest, size: blob(dir, image.digest).length },
      layers: [
        {
          mediaType: 'application/vnd.in-toto+json',
          annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' },
        },
      ],
    });
    expect(blob(dir, manifest.config.digest).toString()).toBe('{}');
    expect(statement).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      predicateType: 'https://slsa.dev/provenance/v1',
      subject: [
        {
          name: expect.stringMatching(/^pkg:docker\/attested@1\?platform=linux%2F/),
          digest: { sha256: image.digest.slice('sha256:'.length) },
        },
      ],
    });
  });

  test('of mode min tells nothing of build arguments, labels and secrets', async () => {
    const { statement } = await attested('min');
    expect(JSON.stringify(statement)).not.toMatch(/leaky|swordfish|"pass"/);
    expect(statement.predicate).toMatchObject({
      buildDefinition: {
        resolvedDependencies: [
          { uri: 'host://sh,coreutils', digest: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } },
        ],
        externalParameters: { configSource: { path: 'Buildfile' }, request: { frontend: 'dockerfile.v0' } },
      },
      runDetails: {
        builder: { id: 'https://example.com/1' },
        metadata: { buildkit_completeness: { request: false } },
      },
    });
  });

  test('of mode max has the arguments, the steps with their lines, and the Buildfile; never a secret', async () => {
    const { statement } = await attested('max');
    const { buildDefinition, runDetails } = statement.predicate;
    expect(JSON.stringify(statement)).not.toContain('swordfish');
    expect(buildDefinition.externalParameters.request).toMatchObject({
      args: { 'build-arg:TOKEN': 'leaky', 'label:l': 'leaky' },
      secrets: [{ id: 'pass', optional: true }],
    });
    const steps = buildDefinition.internalParameters.buildConfig.llbDefinition;
    expect(steps.at(-1)).toEqual({ id: 'step2', inputs: ['step1:0'], op: { Op: {} } });
    expect(steps[1].op.Op.exec.meta.env).toContain('TOKEN=leaky');
    const { source } = runDetails.metadata.buildkit_metadata;
    expect(source.locations.step1.locations[0].ranges).toEqual([{ start: { line: 4 }, end: { line: 4 } }]);
    expect(Buffer.from(source.infos[0].data, 'base64').toString()).toBe(withSecrets);
    expect(runDetails.metadata.buildkit_completeness.request).toBe(true);
  });

  test('lies beside the files where they are the result, and is about them', async () => {
    const cwd = context(person);
    const words = ['--provenance=mode=min', '-o', 'out', '-o', 'type=tar,dest=o.tar,attestation-prefix=x.'];
    output(await person.run([...words, '.'], { cwd }));
    const path = join(cwd, 'out/provenance.json');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { subject, predicateType } = json(readFileSync(path));
    expect(predicateType).toBe('https://slsa.dev/provenance/v1');
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    expect(subject).toEqual([
      { name: 'srv/a', digest: { sha256: sha256('alpha\n') } },
      { name: 'srv/owned', digest: { sha256: sha256('alpha\n') } },
      { name: 'srv/sub/b', digest: { sha256: sha256('beta\n') } },
    ]);
    const tar = execFileSync('tar', ['-xOf', 'o.tar', 'x.provenance.json'], { cwd });
    expect(json(tar).subject).toEqual(subject);
  });

  test('has the shape of an image for registries that want one', async () => {
    const cwd = context(person);
    output(await person.run(['--provenance=true', '-o', 'type=oci,dest=o.tar,oci-artifact=false', '.'], { cwd }));
    const dir = unpacked(cwd, 'o.tar');
    const index = json(blob(dir, json(readFileSync(join(dir, 'index.json'))).manifests[0].digest));
    const manifest = json(blob(dir, index.manifests[1].digest));
    expect(manifest).not.toHaveProperty('subject');
    expect(json(blob(dir, manifest.config.digest))).toMatchObject({
      os: 'unknown',
      rootfs: { diff_ids: [manifest.layers[0].digest] },
    });
  });

  test('stays with the image in the store: listed, run, copied, saved, removed, collected', async () => {
    const cwd = context(person, { Buildfile: 'FROM host://sh,coreutils\nRUN echo hi > /hi\nCMD cat /hi\n' });
    const digest = output(await person.run(['-q', '--provenance=true', '-t', 'kept:1', '.'], { cwd })).trim();
    expect(output(await person.run(['images', '--no-trunc']))).toContain(`${digest} `);
    expect(output(await person.run(['run', 'kept:1']))).toBe('hi\n');
    const [shown] = json(output(await person.run(['inspect', 'kept:1'])));
    expect(shown).toMatchObject({ Id: digest, Index: { manifests: [{}, {}] }, RepoTags: ['kept:1'] });
    output(await person.run(['gc']));
    output(await person.run(['tag', 'kept:1', 'kept:2']));
    output(await person.run(['rmi', 'kept:1']));
    output(await person.run(['save', '--format', 'oci-archive', '-o', 'kept.tar', 'kept:2'], { cwd }));
    const dir = unpacked(cwd, 'kept.tar');
    const root = json(readFileSync(join(dir, 'index.json'))).manifests[0];
    expect(root.digest).toBe(digest);
    for (const { digest: child } of json(blob(dir, digest)).manifests) {
      const { config, layers } = json(blob(dir, child));
      for (const part of [config, ...layers]) expect(blob(dir, part.digest).length).toBe(part.size);
    }
    const other = join(cwd, 'other');
    expect(output(await person.run(['push', '-q', 'kept:2', `store://${other}`], { cwd })).trim()).toBe(digest);
    expect(output(await person.run(['--store', other, 'run', 'kept:2']))).toBe('hi\n');
    expect(output(await person.run(['rmi', 'kept:2']))).toContain(`Deleted: ${digest}`);
    const third = join(cwd, 'third');
    expect(output(await person.run(['--store', third, 'load', '-q', '-i', 'kept.tar'], { cwd })).trim()).toBe(digest);
    output(
      await person.run(['--store', third, 'save', '--format', 'oci-archive', '-o', 'again.tar', 'kept:2'], { cwd }),
    );
    expect(readFileSync(join(cwd, 'again.tar')).equals(readFileSync(join(cwd, 'kept.tar')))).toBe(true);
  });
});

describe('a bill of materials', () => {
  /** Writes SPDX documents that list files, as the protocol has it. */
  const scanner = `#!/bin/sh
set -e
scan() {
  {
    printf '{"spdxVersion":"SPDX-2.3","name":"%s","files":[' "$(basename "$1")"
    sep=
    (cd "$1" && find . -type f | sort) | while read -r f; do printf '%s{"fileName":"%s"}' "$sep" "\${f#./}"; sep=,; done
    printf '],"mode":"%s"}' "$BUILDKIT_SCAN_mode"
  } > "$BUILDKIT_SCAN_DESTINATION/$(basename "$1").spdx.json"
  touch "$1/written" 2> /dev/null && echo "the files are not read-only" && exit 9
  true
}
scan "$BUILDKIT_SCAN_SOURCE"
if [ -d "\${BUILDKIT_SCAN_SOURCE_EXTRAS:-/none}" ]; then
  for each in "$BUILDKIT_SCAN_SOURCE_EXTRAS"/*; do scan "$each"; done
fi
`;
  const scannerImage = 'FROM host://sh,coreutils,find\nCOPY --chmod=755 scan.sh /\nCMD ["/scan.sh"]\n';

  async function makeScanner(by: Person, script: string): Promise<void> {
    const cwd = context(by, { Buildfile: scannerImage, 'scan.sh': script });
    output(await by.run(['-t', 'scanner:1', '.'], { cwd }));
  }

  for (const by of people()) {
    test(`of the image, its stages and its context, as ${by.name}`, async () => {
      await makeScanner(by, scanner);
      const Buildfile = `FROM scratch AS build
ARG BUILDKIT_SBOM_SCAN_STAGE=build
COPY sub /built
FROM scratch AS unasked
COPY a /
FROM scratch
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true
COPY --from=build /built/b /b
COPY --from=unasked /a /a
`;
      const cwd = context(by, { Buildfile, '.dockerignore': 'secret\n', secret: 'x' });
      const words = [
        '--attest',
        'type=sbom,generator=scanner:1,mode=quick',
        '--provenance=mode=min',
        '-o',
        'type=oci,dest=o.tar',
      ];
      output(await by.run([...words, '.'], { cwd }));
      const dir = unpacked(cwd, 'o.tar');
      const index = json(blob(dir, json(readFileSync(join(dir, 'index.json'))).manifests[0].digest));
      const { layers } = json(blob(dir, index.manifests[1].digest));
      const statements = layers.map(({ digest }: { digest: string }) => json(blob(dir, digest)));
      const spdx = statements.filter((each: Spdx) => each.predicateType === 'https://spdx.dev/Document');
      const files = spdx.map(({ predicate }: Spdx) => [
        predicate.name,
        predicate.files.map(({ fileName }) => fileName),
      ]);
      expect(files).toEqual([
        ['sbom', ['a', 'b']],
        ['sbom-build', ['built/b']],
        ['sbom-context', ['.dockerignore', 'Buildfile', 'a', 'sub/b']],
      ]);
      expect(spdx[0].predicate.mode).toBe('quick');
      expect(spdx[0].subject[0].digest.sha256).toBe(index.manifests[0].digest.slice('sha256:'.length));
      const { resolvedDependencies } = statements.at(-1).predicate.buildDefinition;
      expect(resolvedDependencies.map(({ uri }: { uri: string }) => uri)).toEqual([
        expect.stringMatching(/^pkg:docker\/scanner@1/),
      ]);
    });
  }

  test('a scanner that fails, says nothing, or lies is told, and nothing is named', async () => {
    const cases = [
      ['#!/bin/sh\necho no licence; exit 3\n', 'error[SBOM_FAILED]: the scanner scanner:1 ended with 3', 'no licence'],
      ['#!/bin/sh\ntrue\n', 'error[SBOM_INVALID]: the scanner scanner:1 wrote nothing', 'NAME.spdx.json'],
      [
        '#!/bin/sh\nln -s /etc/passwd "$BUILDKIT_SCAN_DESTINATION/x.spdx.json"\n',
        'error[SBOM_INVALID]: the scanner scanner:1 wrote "x.spdx.json", which can\'t be read',
        'generator=IMAGE',
      ],
      [
        '#!/bin/sh\necho \'{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1"}\' > "$BUILDKIT_SCAN_DESTINATION/x.spdx.json"\n',
        'error[SBOM_INVALID]: the scanner scanner:1 may not say in "x.spdx.json" how the image was made',
        'generator=IMAGE',
      ],
    ] as const;
    const cwd = context(person);
    for (const [script, message, more] of cases) {
      await makeScanner(person, script);
      const { code, stderr } = await person.run(['-t', 'unscanned:1', '--sbom=generator=scanner:1', '.'], { cwd });
      expect(code).toBe(1);
      expect(stderr).toContain(message);
      expect(stderr).toContain(more);
    }
    expect((await person.run(['inspect', 'unscanned:1'])).code).toBe(1);
  });
});

describe.skipIf(!hasRegistry())('to a registry', () => {
  const inspect = (name: string) =>
    json(execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]));

  test('--push sends the image; the digest is the one that it has there', async () => {
    const registry = await startRegistry();
    const cwd = context(person);
    const name = `${registry.name}/team/app:1`;
    const digest = output(
      await person.run(['-q', '-t', name, '--push', '--metadata-file', 'm.json', '.'], { cwd }),
    ).trim();
    const metadata = json(readFileSync(join(cwd, 'm.json')));
    expect(metadata['containerimage.digest']).toBe(digest);
    expect(inspect(`${registry.name}/team/app@${digest}`)).toEqual(inspect(name));
    const [shown] = json(output(await person.run(['inspect', name])));
    expect(shown.Id).toBe(digest);
  });

  test('push-by-digest gives no tag', async () => {
    const registry = await startRegistry();
    const cwd = context(person);
    const name = `${registry.name}/team/app`;
    const words = [
      '-q',
      '-o',
      `type=image,name=${name},push-by-digest=true,name-canonical=true,push=true,compression=zstd`,
      '.',
    ];
    const digest = output(await person.run(words, { cwd })).trim();
    expect(inspect(`${name}@${digest}`).layers[0].mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd');
    expect(() => inspect(`${name}:latest`)).toThrow();
  });

  test('what is attested goes along, also later and elsewhere', async () => {
    const registry = await startRegistry();
    const cwd = context(person);
    const name = `${registry.name}/team/app:1`;
    const digest = output(
      await person.run(['-q', '-t', name, '--provenance=mode=max', '-o', 'type=registry', '.'], { cwd }),
    ).trim();
    const index = inspect(name);
    expect(index.manifests).toHaveLength(2);
    const about = inspect(`${registry.name}/team/app@${index.manifests[1].digest}`);
    expect(about.subject.digest).toBe(index.manifests[0].digest);
    expect(output(await person.run(['push', '-q', name, `${registry.name}/other:2`])).trim()).toBe(digest);
    expect(inspect(`${registry.name}/other:2`)).toEqual(index);
  });

  test('an eStargz image keeps its tables of contents on the way', async () => {
    const registry = await startRegistry();
    const cwd = context(person);
    const name = `${registry.name}/lazy:1`;
    output(await person.run(['-t', name, '-o', 'type=image,push=true,compression=estargz', '.'], { cwd }));
    for (const layer of inspect(name).layers) {
      expect(layer.annotations['containerd.io/snapshot/stargz/toc.digest']).toMatch(/^sha256:/);
    }
    expect(output(await person.run(['pull', '-q', name, '-t', 'lazy:2']))).toMatch(/^sha256:/);
  });
});
