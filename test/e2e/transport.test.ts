// Images on their way to and from other tools, through the command line: registry, layouts, archives, other stores.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, type Person, people } from '../support/tsbuild.js';

const noSkopeo = !installed('skopeo');
const noRegistry = noSkopeo || !hasRegistry();

interface Inspected {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly Config: { readonly Env: readonly string[]; readonly Cmd: readonly string[] };
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Manifest: {
    readonly config: { readonly digest: string };
    readonly layers: readonly { mediaType: string }[];
  };
}

/** Fails with skopeo's own words. */
function skopeo(person: Person, ...args: string[]): string {
  const printed = execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8', stdio: 'pipe' });
  person.own(person.home);
  return printed;
}

for (const person of people()) {
  const run = async (...args: string[]): Promise<string> => output(await person.run(args));
  const inspect = async (image: string, ...args: string[]): Promise<Inspected> =>
    (JSON.parse(await run('inspect', image, ...args)) as Inspected[])[0]!;
  const buildOn = async (base: string, name: string, ...args: string[]): Promise<Inspected> => {
    const dir = person.dir('on');
    writeFileSync(
      join(dir, 'Buildfile'),
      `FROM ${base}\nRUN cat /said >> /twice && cat /said >> /twice\nCMD ["cat", "/twice"]\n`,
    );
    await run('-t', name, ...args, person.own(dir));
    return inspect(name);
  };

  describe(`${person.name}'s image`, () => {
    let app: Inspected;
    beforeAll(async () => {
      const dir = person.dir('app');
      const steps = 'RUN echo said > /said\nCOPY a /a\nRUN rm /a\nENV SPOKEN="by me"\nCMD ["cat", "/said"]\n';
      writeFileSync(join(dir, 'Buildfile'), `FROM host://sh,coreutils\n${steps}`);
      writeFileSync(join(dir, 'a'), 'a');
      await run('-t', 'app:1', person.own(dir));
      app = await inspect('app:1');
      expect(app.RootFS.Layers).toHaveLength(4);
    });

    test.skipIf(noRegistry)('goes through a registry to skopeo, to another store, and under a new image', async () => {
      const registry = await startRegistry();
      const name = `${registry.name}/team/app:1`;
      const digest = (await run('push', '-q', 'app:1', name)).trim();

      const remote = ['--tls-verify=false', `docker://${name}`];
      const seen = JSON.parse(skopeo(person, 'inspect', ...remote));
      expect(seen).toMatchObject({ Digest: digest, Os: 'linux', RepoTags: ['1'], Env: app.Config.Env });
      expect(seen.Layers).toHaveLength(4);
      expect(JSON.parse(skopeo(person, 'inspect', '--config', ...remote)).rootfs.diff_ids).toEqual(app.RootFS.Layers);

      const other = join(person.home, 'pulled');
      expect((await run('pull', '-q', '--store', other, name)).trim()).toBe(digest);
      const pulled = await inspect(name, '--store', other);
      expect(pulled.RootFS).toEqual(app.RootFS);
      expect(pulled.Manifest.config.digest).toBe(app.Manifest.config.digest);
      expect(await run('run', '--store', other, name)).toBe('said\n');

      const third = join(person.home, 'third');
      const dir = person.dir('from-registry');
      writeFileSync(join(dir, 'Buildfile'), `FROM ${name}\nRUN cat /said /said > /twice\nCMD ["cat", "/twice"]\n`);
      await run('--store', third, '-t', 'twice', person.own(dir));
      expect(await run('run', '--store', third, 'twice')).toBe('said\nsaid\n');
      expect((await inspect('twice', '--store', third)).RootFS.Layers.slice(0, 4)).toEqual(app.RootFS.Layers);
    });

    test.skipIf(noSkopeo)('is the same after skopeo copied its layout, whatever the compression', async () => {
      const dir = person.dir('layouts');
      for (const compression of ['none', 'gzip', 'zstd']) {
        const ours = join(dir, compression);
        await run('push', '--compression', compression, 'app:1', `oci-layout://${ours}:it`);
        const copy = join(dir, `copy-of-${compression}`);
        skopeo(person, 'copy', `oci:${ours}:it`, `oci:${copy}:it`);
        const copied = await buildOn(`oci-layout://${copy}:it`, `on-${compression}`);
        expect(copied.RootFS.Layers.slice(0, 4)).toEqual(app.RootFS.Layers);
        expect(await run('run', `on-${compression}`)).toBe('said\nsaid\n');
      }
    });

    for (const format of ['docker-archive', 'oci-archive']) {
      test.skipIf(noSkopeo)(`goes to skopeo and back as ${format}, and under a new image`, async () => {
        const dir = person.dir(format);
        const [ours, theirs] = [join(dir, 'ours.tar'), join(dir, 'theirs.tar')];
        await run('save', '--format', format, '-o', ours, 'app:1');
        const config = JSON.parse(skopeo(person, 'inspect', '--config', `${format}:${ours}`));
        expect(config.rootfs.diff_ids).toEqual(app.RootFS.Layers);
        skopeo(person, 'copy', `${format}:${ours}`, `${format}:${theirs}:theirs:2`);

        for (const [archive, name] of [
          [ours, 'app:1'],
          [theirs, 'theirs:2'],
        ] as const) {
          const other = join(dir, `store-of-${name}`);
          expect(await run('load', '--store', other, '-i', archive)).toMatch(new RegExp(`^loaded ${name} sha256:`));
          expect((await inspect(name, '--store', other)).RootFS).toEqual(app.RootFS);
          expect(await run('run', '--store', other, name)).toBe('said\n');
        }
        const built = await buildOn(`${format}:${theirs}`, `on-${format}`);
        expect(built.RootFS.Layers.slice(0, 4)).toEqual(app.RootFS.Layers);
        expect(await run('run', `on-${format}`)).toBe('said\nsaid\n');
      });
    }

    test('stands for a name of the Buildfile as a layout with and without tag, or as another name', async () => {
      const layout = join(person.dir('context'), 'layout');
      await run('push', 'app:1', `oci-layout://${layout}:it`);
      for (const source of [`oci-layout://${layout}`, `oci-layout://${layout}:it`, 'docker-image://app:1', 'app:1']) {
        const built = await buildOn('base', 'on-context', '--build-context', `base=${source}`);
        expect(built.RootFS.Layers.slice(0, 4)).toEqual(app.RootFS.Layers);
      }
      const dir = person.dir('copy');
      writeFileSync(join(dir, 'Buildfile'), 'FROM app:1\nCOPY --from=other /said /copied\nCMD ["cat", "/copied"]\n');
      await run('-t', 'copied', '--build-context', `other=oci-layout://${layout}`, person.own(dir));
      expect(await run('run', 'copied')).toBe('said\n');
    });

    test('goes to another store and comes back under other names', async () => {
      const other = join(person.home, 'other');
      expect((await run('push', '-q', 'app:1', `store://${other}`)).trim()).toBe(app.Id);
      expect((await run('push', '-q', 'app:1', `store://${other}/team/app:2`)).trim()).toBe(app.Id);
      for (const name of ['app:1', 'team/app:2']) {
        expect((await inspect(name, '--store', other)).RootFS).toEqual(app.RootFS);
        expect(await run('run', '--store', other, name)).toBe('said\n');
      }
      const back = join(person.home, 'back');
      await run('pull', '--store', back, '-t', 'again:1', `store://${other}/team/app:2`);
      expect(await run('run', '--store', back, 'again:1')).toBe('said\n');
    });

    test('can not be pulled from where there is no store', async () => {
      const { code, stderr } = await person.run(['pull', `store://${person.home}/nowhere/app:1`]);
      expect([code, stderr]).toEqual([1, expect.stringContaining('error[STORE_NOT_A_STORE]: there is no store at ')]);
    });
  });
}
