// registries.conf: where names lead, mirrors before registries, and what happens when they fail.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PullOptions, pullImage, pushImage, type StoredImage } from '#store';
import { parseRegistriesConf, readRegistriesConf } from '../../store/transport/registries-conf.js';
import { pullPlaces } from '../../store/transport/registry-places.js';
import { certificate } from './certificates.js';
import { diffIdsOf, sampleImage, tempDir, tempStore } from './image-samples.js';
import { hasRegistry, type RunningRegistry, startRegistry, startScripted } from './transport-server.js';

const retry = { pauseMs: 1, maxPauseMs: 5 };

async function confWith(text: string): Promise<{ HOME: string; CONTAINERS_REGISTRIES_CONF: string }> {
  const path = join(await tempDir(), 'registries.conf');
  writeFileSync(path, text);
  return { HOME: '/nonexistent', CONTAINERS_REGISTRIES_CONF: path };
}

async function pull(name: string, conf: string, options: PullOptions = {}): Promise<StoredImage> {
  const { store, lease } = await tempStore();
  const environment = { ...(await confWith(conf)), ...options.environment };
  return pullImage(store, lease, name, { retry, ...options, environment });
}

const mirrored = (prefix: string, mirrors: readonly string[], more = ''): string =>
  `[[registry]]\nlocation = "${prefix}"\n${more}\n${mirrors.map((each) => `[[registry.mirror]]\n${each}\n`).join('')}`;

describe.skipIf(!hasRegistry())('mirrors', () => {
  async function filled(
    repository: string,
  ): Promise<{ registry: RunningRegistry; image: StoredImage; digest: string }> {
    const registry = await startRegistry();
    const place = await tempStore();
    const image = await sampleImage(place);
    const environment = { HOME: '/nonexistent', CONTAINERS_REGISTRIES_CONF: '/dev/null' };
    const sent = await pushImage(place.store, place.lease, image, `${registry.name}/${repository}:1`, { environment });
    return { registry, image, digest: sent.manifest.descriptor.digest };
  }

  test('one that has the image answers for a registry that can not be reached', async () => {
    const { registry, image } = await filled('hub/library/app');
    const conf = mirrored('docker.io', [`location = "${registry.name}/hub"`]);
    expect(diffIdsOf(await pull('app:1', conf))).toEqual(diffIdsOf(image));
  });

  test('what one lacks, refuses or can not deliver comes from the next, at last from the registry itself', async () => {
    const { registry, image } = await filled('app');
    const broken = await startScripted((_, response) => void response.writeHead(500).end());
    const empty = await startRegistry();
    const denied = await startRegistry({ auth: true });
    const conf = mirrored(
      registry.name,
      ['127.0.0.1:1', broken.name, denied.name, empty.name].map((name) => `location = "${name}"`),
    );
    expect(diffIdsOf(await pull(`${registry.name}/app:1`, conf))).toEqual(diffIdsOf(image));
    expect(broken.requests.length).toBeLessThanOrEqual(3);
    // Who had the manifest is asked for the rest.
    expect(empty.requests().filter((line) => line.includes('/blobs/'))).toEqual([]);
  });

  test('a layer that breaks off at one goes on at the next, from that byte', async () => {
    const { registry, image } = await filled('app');
    const upstream = `http://${registry.name}`;
    const mirror = await startScripted(async (request, response) => {
      const answer = await fetch(`${upstream}${request.url}`, { headers: { accept: request.headers.accept ?? '*/*' } });
      const bytes = Buffer.from(await answer.arrayBuffer());
      response.writeHead(request.headers.range ? 503 : answer.status, {
        'content-type': answer.headers.get('content-type') ?? '',
      });
      if (bytes.length < 70_000 || request.headers.range) return void response.end(request.headers.range ? '' : bytes);
      response.write(bytes.subarray(0, 60_000), () => setTimeout(() => response.destroy(), 20));
    });
    const pulled = await pull(`${registry.name}/app:1`, mirrored(registry.name, [`location = "${mirror.name}"`]));
    expect(diffIdsOf(pulled)).toEqual(diffIdsOf(image));
  });

  test('one that lies about a digest is left for the next', async () => {
    const { registry, image, digest } = await filled('app');
    const liar = await startScripted((_, response) => void response.end('{"schemaVersion":2}'));
    const conf = mirrored(registry.name, [`location = "${liar.name}"`]);
    expect(diffIdsOf(await pull(`${registry.name}/app@${digest}`, conf))).toEqual(diffIdsOf(image));
  });

  test('digests alone, or tags alone, are asked of one that is for them', async () => {
    const { registry, digest } = await filled('app');
    const elsewhere = await filled('app');
    const kinds = [
      `location = "${elsewhere.registry.name}"\npull-from-mirror = "digest-only"`,
      `location = "127.0.0.1:1"\npull-from-mirror = "tag-only"`,
    ];
    const conf = mirrored(registry.name, kinds);
    const manifests = (at: RunningRegistry): string[] => at.requests().filter((line) => /GET .*manifests/.test(line));
    await pull(`${registry.name}/app:1`, conf);
    expect(manifests(elsewhere.registry)).toEqual([]);
    await pull(`${registry.name}/app@${digest}`, conf);
    expect(manifests(elsewhere.registry)).toEqual([`GET /v2/app/manifests/${digest}`]);
    const before = manifests(registry).length;
    await pull(
      `${registry.name}/app:1`,
      mirrored(registry.name, [`location = "${elsewhere.registry.name}"`], 'mirror-by-digest-only = true'),
    );
    expect(manifests(registry).length).toBe(before + 1);
  });

  test('when nobody has it, all who were asked are named', async () => {
    const [registry, mirror] = [await startRegistry(), await startRegistry()];
    const conf = mirrored(registry.name, ['location = "127.0.0.1:1/x"', `location = "${mirror.name}/hub"`]);
    await expect(pull(`${registry.name}/app:1`, conf)).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
      message:
        `${registry.name} has no ${registry.name}/app:1; mirrors were asked before: ` +
        `127.0.0.1:1/x/app (127.0.0.1:1: nothing listens there (connection refused)); ` +
        `${mirror.name}/hub/app (${mirror.name} has no ${mirror.name}/hub/app:1)`,
    });
  });

  test('one gets the login for itself, not that for the registry', async () => {
    const mirror = await startRegistry({ auth: true });
    const place = await tempStore();
    const image = await sampleImage(place);
    const login = (text: string): object => ({ auth: Buffer.from(text).toString('base64') });
    const path = join(await tempDir(), 'auth.json');
    writeFileSync(
      path,
      JSON.stringify({ auths: { [mirror.name]: login('user:secret'), 'reg.test': login('other:canary') } }),
    );
    const environment = { HOME: '/nonexistent', REGISTRY_AUTH_FILE: path };
    await pushImage(place.store, place.lease, image, `${mirror.name}/app:1`, { environment });
    const conf = mirrored('reg.test', [`location = "${mirror.name}"`]);
    expect(diffIdsOf(await pull('reg.test/app:1', conf, { environment }))).toEqual(diffIdsOf(image));
  });

  test('a name is moved to its location for pulls, and stays for pushes', async () => {
    const { registry, image } = await filled('inner/app');
    const conf = `[[registry]]\nprefix = "reg.test/outer"\nlocation = "${registry.name}/inner"\n`;
    expect(diffIdsOf(await pull('reg.test/outer/app:1', conf))).toEqual(diffIdsOf(image));
    const place = await tempStore();
    const sample = await sampleImage(place);
    const pushing = pushImage(place.store, place.lease, sample, '127.0.0.1:1/outer/app:1', {
      environment: await confWith(conf.replace('reg.test', '127.0.0.1:1')),
    });
    await expect(pushing).rejects.toMatchObject({ message: expect.stringContaining('127.0.0.1:1') });
  });

  test('insecure takes any certificate, blocked nothing at all', async () => {
    const dir = await tempDir();
    const registry = await startRegistry({ tls: certificate(dir, 'other', { names: 'DNS:other.test' }) });
    const place = await tempStore();
    const image = await sampleImage(place);
    const push = async (more: string) =>
      pushImage(place.store, place.lease, image, `${registry.name}/app:1`, {
        environment: await confWith(`[[registry]]\nlocation = "${registry.name}"\n${more}`),
      });
    await expect(push('')).rejects.toMatchObject({ code: 'REGISTRY_TLS' });
    await push('insecure = true');
    await expect(push('blocked = true')).rejects.toMatchObject({
      code: 'REGISTRY_BLOCKED',
      message: expect.stringMatching(/\/app is below 127\.0\.0\.1:\d+, which .*registries\.conf blocks$/),
    });
  });
});

const rules: [name: string, prefix: string, location: string, leads: string][] = [
  ['docker.io/library/debian', 'docker.io', 'hub.test:5000/cache', 'hub.test:5000/cache/library/debian'],
  ['docker.io/library/debian', 'docker.io/library/debian', 'hub.test/deb', 'hub.test/deb'],
  ['docker.io/library/debian', 'docker.io/lib', 'hub.test', 'docker.io/library/debian'],
  ['a.example.com/x/y', '*.example.com', 'mirror.test', 'mirror.test/x/y'],
  ['a.b.example.com/x/y', '*.example.com/x', 'mirror.test/z', 'mirror.test/z/y'],
  ['example.com/x', '*.example.com', 'mirror.test', 'example.com/x'],
  ['a.example.com/x', '*.example.com', '', 'a.example.com/x'],
];
for (const [name, prefix, location, leads] of rules) {
  test(`with ${prefix} at ${location || 'itself'}, ${name} is ${leads}`, async () => {
    const slash = name.indexOf('/');
    const place = { registry: name.slice(0, slash), repository: name.slice(slash + 1) };
    const conf = await parseRegistriesConf(`[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"`, 'f');
    expect(pullPlaces(place, conf).map(({ registry, repository }) => `${registry}/${repository}`)).toEqual([leads]);
  });
}

test('of several rules that with the longest prefix counts', async () => {
  const conf = await parseRegistriesConf(
    ['reg.test', 'reg.test/a/b', 'reg.test/a']
      .map((prefix, i) => `[[registry]]\nprefix="${prefix}"\nlocation="l${i}.test"\n`)
      .join(''),
    'f',
  );
  expect(pullPlaces({ registry: 'reg.test', repository: 'a/b/c' }, conf)[0]).toMatchObject({
    registry: 'l1.test',
    repository: 'c',
  });
});

test('the user’s file stands for the system’s, drop-ins replace rules of one prefix, in their order', async () => {
  const config = join(await tempDir(), 'containers');
  mkdirSync(join(config, 'registries.conf.d'), { recursive: true });
  writeFileSync(join(config, 'registries.conf'), mirrored('reg.test', [], 'blocked = true') + mirrored('b.test', []));
  writeFileSync(join(config, 'registries.conf.d/2.conf'), mirrored('reg.test', ['location = "two.test"']));
  writeFileSync(join(config, 'registries.conf.d/1.conf'), mirrored('reg.test', ['location = "one.test"']));
  writeFileSync(join(config, 'registries.conf.d/not-conf'), 'garbage');
  const read = await readRegistriesConf({ XDG_CONFIG_HOME: join(config, '..') });
  const own = read.filter(({ path }) => path.startsWith(config));
  expect(own.map(({ prefix, mirrors }) => [prefix, mirrors[0]?.location])).toEqual([
    ['reg.test', 'two.test'],
    ['b.test', undefined],
  ]);
});

const broken: [what: string, text: string, message: string][] = [
  ['no TOML', '[[registry]]\nlocation = reg.test', ':2:12: '],
  ['of version 1', '[registries.search]\nregistries = ["reg.test"]', 'version 1'],
  ['without a place', '[[registry]]\nblocked = true', 'neither prefix nor location'],
  ['with a place that is no string', '[[registry]]\nlocation = 1', 'location is no string'],
  [
    'with a switch that is none',
    '[[registry]]\nlocation = "a"\ninsecure = "yes"',
    'insecure is neither true nor false',
  ],
  ['with a mirror nowhere', mirrored('a', ['insecure = true']), 'has no location'],
  [
    'with a mirror for nothing',
    mirrored('a', ['location = "b"\npull-from-mirror = "none"']),
    'pull-from-mirror is "none"',
  ],
  ['with one registry where several are', '[registry]\nlocation = "a"', 'registry is no array of tables'],
  ['that leads nowhere', '[[registry]]\nprefix = "reg.test"\nlocation = "UP CASE"', 'which is no image name'],
];
for (const [what, text, message] of broken) {
  test(`a registries.conf ${what} is refused with its name`, async () => {
    const error = await pull('reg.test/app:1', text).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({
      code: 'REGISTRIES_CONF_INVALID',
      message: expect.stringMatching(/^\/.*registries\.conf/),
    });
    expect((error as Error).message).toContain(message);
  });
}

test('any rule leads a name to a name, or is refused', async () => {
  const part = fc.stringMatching(/^[a-z0-9._*:/-]{0,12}$/);
  await fc.assert(
    fc.asyncProperty(part, part, part, async (prefix, location, repository) => {
      const rule = { prefix: `reg${prefix}`, location, insecure: false, blocked: false, mirrors: [], path: 'f' };
      try {
        const [place] = pullPlaces({ registry: 'reg.test', repository }, [rule]);
        expect(place?.registry).not.toBe('');
      } catch (error) {
        expect(error).toMatchObject({ code: 'REGISTRIES_CONF_INVALID' });
      }
    }),
    { numRuns: 300 },
  );
});
