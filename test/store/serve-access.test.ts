// Who may do what with `serve`: passwords, tokens, rights by repository, certificates.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { expect, test } from 'vitest';
import { type ServeOptions, serveStore, tagImage } from '#store';
import { digestOf, sampleImage, tempDir, tempStore } from './image-samples.js';
import { type Ask, pushBlob, pushImageBlobs, putManifest, type Served, serve } from './serve-client.js';

const basic = (user: string, password = `${user}'s`): { authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

async function htpasswd(...users: string[]): Promise<string> {
  const path = join(await tempDir(), 'users');
  writeFileSync(path, users.map((user) => `${user}:${hashSync(`${user}'s`, 4).replace('$2b$', '$2y$')}\n`).join(''));
  return path;
}

async function guarded(users: readonly string[], options: Partial<ServeOptions> = {}): Promise<Served> {
  const place = await tempStore();
  const image = await sampleImage(place);
  for (const tag of ['public/app:1', 'secret/app:1']) tagImage(place.store, tag, image.digest);
  return serve(place.store, { htpasswdPath: await htpasswd(...users), ...options });
}

async function status(ask: Ask, path: string, headers = {}): Promise<number> {
  return (await ask('GET', path, { headers })).status;
}

test('with users, whoever is none gets nothing, and is asked for a login', async () => {
  const { ask } = await guarded(['alice']);
  for (const path of ['/v2/', '/v2/_catalog', '/v2/public/app/manifests/1', '/v2/public/app/tags/list']) {
    const { status, code, headers } = await ask('GET', path);
    expect([path, status, code]).toEqual([path, 401, 'UNAUTHORIZED']);
    expect(headers['www-authenticate']).toMatch(/^Basic realm="[^"]+"$/);
    expect((await ask('GET', path, { headers: basic('alice') })).status).toBe(200);
    for (const wrong of [
      basic('alice', 'x'),
      basic('bob'),
      basic('', ''),
      { authorization: 'Basic !' },
      { authorization: 'Bearer x' },
    ]) {
      expect((await ask('GET', path, { headers: wrong })).status).toBe(401);
    }
  }
  expect(await status(ask, '/healthz')).toBe(200);
});

test('users that are added to the file, or taken from it, count at once', async () => {
  const path = await htpasswd('alice');
  const { ask } = await serve((await tempStore()).store, { htpasswdPath: path });
  expect(await status(ask, '/v2/', basic('alice'))).toBe(200);
  writeFileSync(path, readFileSync(await htpasswd('bob', 'carol')));
  expect(await status(ask, '/v2/', basic('alice'))).toBe(401);
  expect(await status(ask, '/v2/', basic('bob'))).toBe(200);
  writeFileSync(path, 'torn');
  expect(await status(ask, '/v2/', basic('bob'))).toBe(200);
});

test('everybody may pull with a rule for it, and nothing else', async () => {
  const { ask } = await guarded(['alice'], { accessRules: ['anonymous:**:pull'] });
  expect(await status(ask, '/v2/public/app/manifests/1')).toBe(200);
  const push = await ask('POST', '/v2/public/app/blobs/uploads/');
  expect([push.status, push.headers['www-authenticate']]).toEqual([401, expect.stringContaining('Basic')]);
  expect((await ask('DELETE', '/v2/public/app/manifests/1')).status).toBe(401);
  expect((await ask('POST', '/v2/public/app/blobs/uploads/', { headers: basic('alice') })).status).toBe(202);
});

test('rules give rights by user, repository and action', async () => {
  const accessRules = ['ci:secret/**:pull,push', 'admin:**:*', '*:public/*:pull', 'anonymous:public/app:pull'];
  const { ask } = await guarded(['ci', 'admin', 'guest'], { accessRules });
  const rights = async (user: string | null, repository: string): Promise<string> => {
    const headers = user === null ? {} : basic(user);
    const [pull, push, remove] = [
      await ask('HEAD', `/v2/${repository}/manifests/none`, { headers }),
      await ask('POST', `/v2/${repository}/blobs/uploads/`, { headers }),
      await ask('DELETE', `/v2/${repository}/manifests/none`, { headers }),
    ];
    return [pull, push, remove].map(({ status }) => (status < 400 || status === 404 ? '+' : status)).join(' ');
  };
  expect(await rights('ci', 'secret/app')).toBe('+ + 403');
  expect(await rights('ci', 'secret')).toBe('403 403 403');
  expect(await rights('ci', 'public/app')).toBe('+ 403 403');
  expect(await rights('ci', 'public/app/deeper')).toBe('403 403 403');
  expect(await rights('guest', 'secret/app')).toBe('403 403 403');
  expect(await rights('admin', 'anything/at/all')).toBe('+ + +');
  expect(await rights(null, 'public/app')).toBe('+ 401 401');
  expect(await rights(null, 'secret/app')).toBe('401 401 401');
  const catalog = async (user: string): Promise<unknown> =>
    (await ask('GET', '/v2/_catalog', { headers: basic(user) })).json();
  expect(await catalog('guest')).toEqual({ repositories: ['public/app'] });
  expect(await catalog('ci')).toEqual({ repositories: ['public/app', 'secret/app'] });
});

test('a digest that is known opens nothing: not in another repository, not by mounting, not by naming it in a manifest', async () => {
  const { ask } = await guarded(['ci', 'spy'], { accessRules: ['ci:secret/**:*', 'spy:spy/**:*', 'ci:spy/**:pull'] });
  const [ci, spy] = [basic('ci'), basic('spy')];
  const secret = await pushImageBlobs(ask, 'secret/app', { key: 'hidden' }, { headers: ci });
  expect((await putManifest(ask, 'secret/app', '2', secret, ci)).status).toBe(201);
  const layer = digestOf(secret.layer);
  expect(await status(ask, `/v2/spy/app/blobs/${layer}`, spy)).toBe(404);
  expect(await status(ask, `/v2/spy/app/manifests/${secret.digest}`, spy)).toBe(404);
  const mount = (from: string, headers: object) =>
    ask('POST', `/v2/spy/app/blobs/uploads/?mount=${layer}${from}`, { headers: { ...headers } });
  for (const from of ['&from=secret/app', '', '&from=spy/app', '&from=none']) {
    expect([from, (await mount(from, spy)).status]).toEqual([from, 202]);
  }
  const named = await putManifest(ask, 'spy/app', '1', secret, spy);
  expect([named.status, named.code]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ mediaType: secret.mediaType, digest: secret.digest, size: secret.manifest.length }],
  });
  expect((await ask('PUT', '/v2/spy/app/manifests/2', { headers: spy, body: index })).code).toBe(
    'MANIFEST_BLOB_UNKNOWN',
  );
  // Whoever may read it may mount it, and whoever has its bytes has it anyway.
  expect((await mount('&from=secret/app', ci)).status).toBe(403);
  await pushBlob(ask, 'spy/app', secret.layer, spy);
  expect(await status(ask, `/v2/spy/app/blobs/${layer}`, spy)).toBe(200);
});

test('mounting gives a repository what the client may read elsewhere', async () => {
  const { ask } = await serve((await tempStore()).store);
  const digest = await pushBlob(ask, 'one', 'content');
  for (const query of [`mount=${digest}&from=one`, `mount=${digest}`]) {
    const { status: answered, headers } = await ask('POST', `/v2/two/blobs/uploads/?${query}`);
    expect([answered, headers.location]).toEqual([201, `/v2/two/blobs/${digest}`]);
  }
  expect((await ask('GET', `/v2/two/blobs/${digest}`)).body.toString()).toBe('content');
});

test('an upload is known in its repository only', async () => {
  const { ask } = await serve((await tempStore()).store);
  const { location } = (await ask('POST', '/v2/one/blobs/uploads/')).headers;
  expect((await ask('GET', location!.replace('/one/', '/two/'))).code).toBe('BLOB_UPLOAD_UNKNOWN');
  expect((await ask('GET', location!)).status).toBe(204);
});

async function tokenFor(ask: Ask, scopes: readonly string[], headers = {}): Promise<string> {
  const query = new URLSearchParams([['service', 'x'], ...scopes.map((scope) => ['scope', scope])] as [
    string,
    string,
  ][]);
  const { token } = (await ask('GET', `/token?${query}`, { headers })).json() as { token: string };
  return token;
}

const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });

test('tokens: had for a password, good for their scope, and for nobody who changes them', async () => {
  const { ask, name } = await guarded(['alice', 'ci'], {
    authentication: 'token',
    accessRules: ['alice:**:*', 'ci:secret/**:pull', 'anonymous:public/**:pull'],
  });
  const asked = await ask('GET', '/v2/secret/app/manifests/1');
  expect(asked.headers['www-authenticate']).toMatch(
    new RegExp(`^Bearer realm="http://${name}/token",service="[^"]+",scope="repository:secret/app:pull"$`),
  );
  const token = await tokenFor(ask, ['repository:secret/app:pull,push'], basic('alice'));
  expect(await status(ask, '/v2/secret/app/manifests/1', bearer(token))).toBe(200);
  expect((await ask('POST', '/v2/secret/app/blobs/uploads/', { headers: bearer(token) })).status).toBe(202);
  const beyond = await ask('GET', '/v2/public/app/manifests/1', { headers: bearer(token) });
  expect([beyond.status, beyond.headers['www-authenticate']]).toEqual([
    401,
    expect.stringContaining('insufficient_scope'),
  ]);
  // Less is granted than is asked for.
  const reading = await tokenFor(ask, ['repository:secret/app:pull,push'], basic('ci'));
  expect(await status(ask, '/v2/secret/app/manifests/1', bearer(reading))).toBe(200);
  expect((await ask('POST', '/v2/secret/app/blobs/uploads/', { headers: bearer(reading) })).status).toBe(401);
  // Nobody in particular gets what everybody may have; docker asks at /v2/ first.
  expect(await status(ask, '/v2/')).toBe(401);
  const anyone = await tokenFor(ask, ['repository:public/app:pull', 'repository:secret/app:pull']);
  expect(await status(ask, '/v2/', bearer(anyone))).toBe(200);
  expect(await status(ask, '/v2/public/app/manifests/1', bearer(anyone))).toBe(200);
  expect(await status(ask, '/v2/secret/app/manifests/1', bearer(anyone))).toBe(401);
  const listing = await tokenFor(ask, ['registry:catalog:*'], basic('ci'));
  expect((await ask('GET', '/v2/_catalog', { headers: bearer(listing) })).json()).toEqual({
    repositories: ['public/app', 'secret/app'],
  });

  const [head, claims, signature] = anyone.split('.');
  const richer = JSON.parse(Buffer.from(claims!, 'base64url').toString());
  richer.access = [{ name: 'docker.io/secret/app', actions: ['pull'] }];
  const forged = Buffer.from(JSON.stringify(richer)).toString('base64url');
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  for (const bad of [
    `${head}.${forged}.${signature}`,
    `${none}.${forged}.`,
    `${head}.${claims}`,
    'a.b.c',
    token.slice(0, -1),
  ]) {
    expect(await status(ask, '/v2/secret/app/manifests/1', bearer(bad))).toBe(401);
  }
  expect((await ask('GET', '/token', { headers: basic('alice', 'wrong') })).status).toBe(401);
  const posted = await ask('POST', '/token', {
    body: `grant_type=password&username=alice&password=${encodeURIComponent("alice's")}&scope=repository:secret/app:pull`,
  });
  expect(await status(ask, '/v2/secret/app/manifests/1', bearer((posted.json() as { token: string }).token))).toBe(200);
});

test('TLS with a certificate of an own CA, and clients by their certificates', async () => {
  const dir = await tempDir();
  const openssl = (...args: string[]): Buffer =>
    execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca');
  for (const name of ['server', 'ci']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(join(dir, 'ext'), 'subjectAltName=IP:127.0.0.1\n');
    const signed = ['-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'ext'];
    openssl('x509', '-req', ...signed, '-out', `${name}.pem`, '-days', '2');
  }
  const path = (name: string): string => join(dir, name);
  const pem = (name: string): string => readFileSync(path(name), 'utf8');
  const place = await tempStore();
  tagImage(place.store, 'app:1', (await sampleImage(place)).digest);
  const tls = { certPath: path('server.pem'), keyPath: path('server.key') };
  const plain = await serve(place.store, { tls });
  expect((await plain.ask('GET', '/v2/app/manifests/1', { tls: { ca: pem('ca.pem') } })).status).toBe(200);
  await expect(plain.ask('GET', '/v2/', { tls: { ca: '' } })).rejects.toThrow(/certificate/);

  const mutual = await serve(place.store, {
    tls: { ...tls, clientCaPath: path('ca.pem') },
    accessRules: ['ci:app:pull'],
  });
  const own = { ca: pem('ca.pem'), cert: pem('ci.pem'), key: pem('ci.key') };
  expect((await mutual.ask('GET', '/v2/app/manifests/1', { tls: own })).status).toBe(200);
  expect((await mutual.ask('DELETE', '/v2/app/manifests/1', { tls: own })).status).toBe(403);
  const other = { ...own, cert: pem('server.pem'), key: pem('server.key') };
  expect((await mutual.ask('GET', '/v2/app/manifests/1', { tls: other })).status).toBe(403);
  await expect(mutual.ask('GET', '/v2/app/manifests/1', { tls: { ca: own.ca } })).rejects.toThrow();

  const mixed = { certPath: path('server.pem'), keyPath: path('ci.key') };
  const listen = [{ host: '127.0.0.1', port: 0 }];
  await expect(serveStore(place.store, { listen, tls: mixed })).rejects.toThrow(/make no certificate and its key/);
  const gone = { ...tls, keyPath: path('none') };
  await expect(serveStore(place.store, { listen, tls: gone })).rejects.toMatchObject({ code: 'SERVE_FILE_UNREADABLE' });
});

test('what makes no sense is refused before anything is served', async () => {
  const { store } = await tempStore();
  const listen = [{ host: '127.0.0.1', port: 0 }];
  const file = join(await tempDir(), 'users');
  const refusals: [string | null, Partial<ServeOptions>, string][] = [
    ['alice:{SHA}xyz\n', {}, 'SERVE_HTPASSWD_INVALID'],
    ['alice:$apr1$abc$def\n', {}, 'SERVE_HTPASSWD_INVALID'],
    ['# nobody\n', {}, 'SERVE_HTPASSWD_INVALID'],
    [null, { htpasswdPath: '/none/users' }, 'SERVE_FILE_UNREADABLE'],
    [null, { accessRules: ['ci'] }, 'SERVE_RULE_INVALID'],
    [null, { accessRules: ['ci:**:pull,fly'] }, 'SERVE_RULE_INVALID'],
    [null, { prefix: 'No!' }, 'REFERENCE_INVALID'],
    [null, { accessLogPath: '/none/log' }, 'SERVE_FILE_UNWRITABLE'],
    [null, { listen: [{ host: '203.0.113.1', port: 0 }] }, 'SERVE_ADDRESS'],
  ];
  for (const [users, options, code] of refusals) {
    if (users !== null) writeFileSync(file, users);
    const all = { listen, ...(users !== null && { htpasswdPath: file }), ...options };
    await expect(serveStore(store, all)).rejects.toMatchObject({ code });
  }
  const { name } = await serve(store);
  const taken = serveStore(store, { listen: [{ host: '127.0.0.1', port: Number(name.split(':')[1]) }] });
  await expect(taken).rejects.toThrow(/can't listen at 127\.0\.0\.1:\d+: something listens there already/);
});
