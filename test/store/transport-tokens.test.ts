// Tokens: of the store's own server as a registry with real ones, and of scripted token servers with ways of their own.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { logIn, pullImage, pushImage, serveStore, tagImage } from '#store';
import { diffIdsOf, digestOf, sampleImage, tempDir, tempStore } from './image-samples.js';
import { servedManifest, serveImage } from './served-image.js';
import { passwords, startScripted } from './transport-server.js';

async function startServing(): Promise<{ name: string; home: string }> {
  const home = await tempDir();
  const htpasswdPath = join(home, 'users');
  writeFileSync(htpasswdPath, passwords);
  const { store } = await tempStore();
  const listen = [{ host: '127.0.0.1', port: 0 }];
  const serving = await serveStore(store, { listen, htpasswdPath, authentication: 'token' });
  onTestFinished(() => serving.close(AbortSignal.abort()));
  return { name: new URL(serving.urls[0] ?? '').host, home };
}

test('a login is tried for a token, kept, and gets tokens for pushes, pulls and mounts', async () => {
  const { name, home } = await startServing();
  const environment = { HOME: home, PATH: process.env.PATH };
  const from = await tempStore();
  const image = await sampleImage(from);
  await expect(pushImage(from.store, from.lease, image, `${name}/one:1`, { environment })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHORIZED',
    hint: expect.stringMatching(/no login was sent/),
  });
  await expect(logIn(name, { username: 'user', password: 'wrong' }, { environment })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHORIZED',
    message: `${name} does not accept this user and password`,
  });
  const file = await logIn(name, { username: 'user', password: 'secret' }, { environment });
  expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')).auths)).toEqual([name]);
  await pushImage(from.store, from.lease, image, `${name}/one:1`, { environment });
  tagImage(from.store, `${name}/one:1`, image.digest);
  const states: string[] = [];
  await pushImage(from.store, from.lease, image, `${name}/two:1`, {
    environment,
    onProgress: ({ state }) => void states.push(state),
  });
  expect(states).toEqual(['mounted', 'mounted']);
  const to = await tempStore();
  expect(diffIdsOf(await pullImage(to.store, to.lease, `${name}/two:1`, { environment }))).toEqual(diffIdsOf(image));
});

test("a helper's <token> is exchanged at the token server, and goes nowhere else", async () => {
  const bodies: string[] = [];
  const tokens = await startScripted((request, response) => {
    request.on('data', (chunk) => bodies.push(String(chunk)));
    request.on('end', () => response.end('{"access_token":"short"}'));
  });
  const registry = await startScripted((request, response) => {
    if (request.headers.authorization === 'Bearer short') return serveImage(request, response);
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens.name}/token",service="reg"` }).end();
  });
  const home = await tempDir();
  mkdirSync(join(home, '.docker'));
  writeFileSync(join(home, '.docker/config.json'), '{"credsStore":"test"}');
  writeFileSync(
    join(home, 'docker-credential-test'),
    `#!/bin/sh\necho '{"Username":"<token>","Secret":"long lived&"}'\n`,
  );
  chmodSync(join(home, 'docker-credential-test'), 0o755);
  const environment = { HOME: home, PATH: `${home}:${process.env.PATH}` };
  const { store, lease } = await tempStore();
  expect((await pullImage(store, lease, `${registry.name}/app:1`, { environment })).digest).toBe(
    digestOf(servedManifest),
  );
  expect(Object.fromEntries(new URLSearchParams(bodies.join('')))).toEqual({
    grant_type: 'refresh_token',
    client_id: 'tsbuild',
    service: 'reg',
    scope: 'repository:app:pull',
    refresh_token: 'long lived&',
  });
  expect(registry.requests.map(({ headers }) => headers.authorization ?? '').join()).not.toContain('long');
});

test('a token server that denies all because of one repository is asked for the one that counts', async () => {
  const asked: string[][] = [];
  const tokens = await startScripted((request, response) => {
    const scopes = new URL(request.url ?? '', 'http://x').searchParams.getAll('scope');
    asked.push(scopes);
    if (scopes.length > 1) response.writeHead(403).end('{"errors":[{"code":"DENIED"}]}');
    else response.end('{"token":"t"}');
  });
  const registry = await startScripted((request, response) => {
    if (request.url === '/v2/') return void response.end('{}');
    if (request.headers.authorization !== 'Bearer t') {
      return void response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens.name}/token"` }).end();
    }
    response.writeHead(request.method === 'PUT' ? 201 : 200).end();
  });
  const place = await tempStore();
  const image = await sampleImage(place);
  tagImage(place.store, `${registry.name}/other:1`, image.digest);
  const environment = { HOME: '/nonexistent' };
  await pushImage(place.store, place.lease, image, `${registry.name}/app:1`, { environment });
  expect(asked).toEqual([['repository:app:pull,push', 'repository:other:pull'], ['repository:app:pull,push']]);
});
