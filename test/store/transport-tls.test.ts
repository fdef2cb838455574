// TLS towards real registries: whose certificates count, who we are to them, and what messages say of it.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PushOptions, pushImage } from '#store';
import { type Certificate, certificate } from './certificates.js';
import { sampleImage, tempDir, tempStore } from './image-samples.js';
import { hasRegistry, startRegistry } from './transport-server.js';

const environment = { HOME: '/nonexistent', PATH: process.env.PATH };

describe.skipIf(!hasRegistry())('TLS', () => {
  let dir: string;
  let ca: Certificate;
  let server: Certificate;
  let client: Certificate;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-tls-'));
    ca = certificate(dir, 'authority');
    server = certificate(dir, 'server', { names: 'IP:127.0.0.1', issuer: ca });
    client = certificate(dir, 'client', { issuer: ca });
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** certs.d/HOST below a home with these files: 'ca.crt': a path. */
  async function homeWith(
    host: string,
    files: Readonly<Record<string, string>>,
  ): Promise<{ HOME: string; at: string }> {
    const HOME = await tempDir();
    const at = join(HOME, '.config/containers/certs.d', host);
    mkdirSync(at, { recursive: true });
    for (const [name, path] of Object.entries(files)) copyFileSync(path, join(at, name));
    return { HOME, at };
  }

  async function push(name: string, options: PushOptions): Promise<unknown> {
    const place = await tempStore();
    const image = await sampleImage(place);
    return pushImage(place.store, place.lease, image, `${name}/app:1`, { environment, plainHttp: false, ...options });
  }

  test("the host's directory of certs.d names authorities", async () => {
    const registry = await startRegistry({ tls: server });
    const { HOME } = await homeWith(registry.name, { 'ca.crt': ca.cert });
    await push(registry.name, { environment: { ...environment, HOME } });
    const other = await homeWith('127.0.0.1:1', { 'ca.crt': ca.cert });
    await expect(push(registry.name, { environment: { ...environment, HOME: other.HOME } })).rejects.toMatchObject({
      code: 'REGISTRY_TLS',
      message: expect.stringMatching(/^127\.0\.0\.1:\d+: (unable to verify|self[- ]signed)/),
      hint: expect.stringContaining(`/etc/containers/certs.d/${registry.name}/ca.crt`),
    });
  });

  test('a client certificate is shown where the registry wants one', async () => {
    const registry = await startRegistry({ tls: { ...server, clientCa: ca.cert } });
    const files = { 'ca.crt': ca.cert, 'me.cert': client.cert, 'me.key': client.key };
    const { at } = await homeWith('x', files);
    await push(registry.name, { certDir: at });
    const { HOME } = await homeWith(registry.name, files);
    await push(registry.name, { environment: { ...environment, HOME } });
    const without = await homeWith(registry.name, { 'ca.crt': ca.cert });
    await expect(push(registry.name, { environment: { ...environment, HOME: without.HOME } })).rejects.toMatchObject({
      code: 'REGISTRY_TLS',
      message: `${registry.name}: it asks for a client certificate`,
      hint: expect.stringContaining('client.cert'),
    });
    const stranger = certificate(dir, 'stranger');
    const odd = await homeWith('x', { 'ca.crt': ca.cert, 'me.cert': stranger.cert, 'me.key': stranger.key });
    await expect(push(registry.name, { certDir: odd.at })).rejects.toMatchObject({
      code: 'REGISTRY_TLS',
      message: expect.stringContaining('client certificate'),
    });
  });

  const broken: [what: string, files: (at: string) => void, message: (at: string) => string][] = [
    [
      'a certificate without its key',
      (at) => copyFileSync(client.cert, join(at, 'a.cert')),
      (at) => `${at}/a.cert has no a.key beside it`,
    ],
    [
      'a key without its certificate',
      (at) => copyFileSync(client.key, join(at, 'a.key')),
      (at) => `${at}/a.key has no a.cert beside it`,
    ],
    [
      'an authority that is no PEM',
      (at) => writeFileSync(join(at, 'ca.crt'), 'canary'),
      (at) => `${at}/ca.crt holds no PEM certificate`,
    ],
    [
      'an authority that is cut short',
      (at) => writeFileSync(join(at, 'ca.crt'), readFileSync(ca.cert, 'utf8').slice(0, 200)),
      (at) => `${at}/ca.crt holds a certificate that can't be read`,
    ],
    [
      'a key of another certificate',
      (at) => {
        copyFileSync(client.cert, join(at, 'a.cert'));
        copyFileSync(server.key, join(at, 'a.key'));
      },
      (at) => `${at}/a.key does not go with ${at}/a.cert: `,
    ],
  ];
  for (const [what, make, message] of broken) {
    test(`${what} is named`, async () => {
      const at = await tempDir();
      make(at);
      const error = await push('127.0.0.1:1', { certDir: at }).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: 'CERT_DIR_INVALID', message: expect.stringContaining(message(at)) });
      expect(String(error)).not.toContain('canary');
    });
  }

  test('a certificate for another name is refused, saying for which', async () => {
    const odd = certificate(dir, 'odd', { names: 'DNS:other.test', issuer: ca });
    const registry = await startRegistry({ tls: odd });
    await expect(
      push(registry.name, { environment: { ...environment, TSBUILD_EXTRA_CA_CERTS: ca.cert } }),
    ).rejects.toMatchObject({ code: 'REGISTRY_TLS', message: expect.stringContaining('other.test') });
  });

  test('without verification any certificate is good, and plain HTTP where there is no TLS', async () => {
    const secure = await startRegistry({ tls: server });
    await push(secure.name, { tlsVerify: false, plainHttp: undefined });
    const plain = await startRegistry();
    await push(plain.name, { tlsVerify: false, plainHttp: undefined });
    await expect(push(plain.name, { plainHttp: false })).rejects.toMatchObject({
      message: `${plain.name}: it does not speak TLS`,
    });
  });
});
