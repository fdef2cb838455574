// ADD of URLs over several builds: what is asked for again, and what happens on the way.
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type FileServer, startFileServer } from '../support/file-server.js';
import { output, people } from '../support/tsbuild.js';

const [person] = people();
const servers: FileServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.close())));

async function serve(files: Readonly<Record<string, string | Buffer>>): Promise<{ server: FileServer; root: string }> {
  const root = person!.dir('served');
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
  const server = await startFileServer(root);
  servers.push(server);
  return { server, root };
}

const run = async (buildfile: string, options: { env?: Record<string, string>; args?: string[] } = {}) => {
  const cwd = person!.dir('context');
  return person!.run(['-f', '-', ...(options.args ?? []), cwd], { input: buildfile, env: options.env ?? {} });
};

async function built(buildfile: string): Promise<string> {
  const { stdout, stderr } = await run(buildfile, { args: ['-q'] }).then((result) => ({
    ...result,
    stdout: output(result).trim(),
  }));
  expect(stderr).toBe('');
  return stdout;
}

describe('the next build', () => {
  test('asks by ETag, downloads nothing, and makes the same image', async () => {
    const { server } = await serve({ file: 'etag' });
    const buildfile = `FROM scratch\nADD ${server.url}/file /\n`;
    const first = await built(buildfile);
    expect(await built(buildfile)).toBe(first);
    expect(server.requests).toEqual(['GET /file 200', 'GET /file 304']);
  });

  test('sees that the file changed', async () => {
    const { server, root } = await serve({ file: 'before' });
    const buildfile = `FROM scratch\nADD ${server.url}/file /\n`;
    const first = await built(buildfile);
    writeFileSync(join(root, 'file'), 'after');
    expect(await built(buildfile)).not.toBe(first);
    expect(server.requests).toEqual(['GET /file 200', 'GET /file 200']);
  });

  test('makes the same image of a file that only got another time', async () => {
    const { server, root } = await serve({ file: 'touched' });
    const buildfile = `FROM scratch\nADD ${server.url}/file /\n`;
    const first = await built(buildfile);
    utimesSync(join(root, 'file'), 1_600_000_000, 1_600_000_000);
    expect(await built(buildfile)).toBe(first);
  });

  test('believes an equal ETag of a server that sends the file anyway', async () => {
    const { server } = await serve({ file: Buffer.alloc(8_000_000, 'x') });
    const buildfile = `FROM scratch\nADD ${server.url}/careless/file /\n`;
    const first = await built(buildfile);
    expect(await built(buildfile)).toBe(first);
  });

  test('asks nobody where the checksum says what is wanted', async () => {
    const { server } = await serve({ file: 'hello\n' });
    const sum = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03';
    const buildfile = `FROM scratch\nADD --checksum=sha256:${sum} ${server.url}/file /\n`;
    const first = await built(buildfile);
    await server.close();
    expect(await built(buildfile)).toBe(first);
    expect(server.requests).toEqual(['GET /file 200']);
  });

  test('downloads again what was removed or damaged here', async () => {
    const { server } = await serve({ file: 'damaged later' });
    const buildfile = `FROM scratch\nADD ${server.url}/file /\n`;
    const first = await built(buildfile);
    const bodies = join(person!.store, 'cache', 'downloads', 'body');
    for (const name of readdirSync(bodies)) {
      const path = join(bodies, name);
      if (statSync(path).size !== 'damaged later'.length) continue;
      writeFileSync(path, 'DAMAGED LATER');
      utimesSync(path, 1, 1); // as a file that a crash of the machine left half-written
    }
    expect(await built(buildfile)).toBe(first);
    rmSync(bodies, { recursive: true });
    expect(await built(buildfile)).toBe(first);
    expect(server.requests).toEqual(['GET /file 200', 'GET /file 304', 'GET /file 200', 'GET /file 200']);
  });
});

test('an interrupted download leaves nothing', async () => {
  const { server } = await serve({ file: Buffer.alloc(1_000_000, 'y') });
  const cwd = person!.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), `FROM scratch\nADD ${server.url}/slow/file /\n`);
  const child = person!.start(['.'], { cwd });
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  while (!said.includes('download')) await sleep(20);
  const started = performance.now();
  child.kill('SIGINT');
  expect(await new Promise((done) => child.on('close', done))).toBe(130);
  expect(performance.now() - started).toBeLessThan(3000);
  expect(readdirSync(join(person!.store, 'tmp')).filter((name) => !name.startsWith('step-'))).toEqual([]);
});

describe('a proxy of the environment', () => {
  let proxy: Server;
  const seen: string[] = [];
  const startProxy = async (to: FileServer): Promise<string> => {
    const { port } = new URL(to.url);
    proxy = createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
      const onward = connect(Number(port), '127.0.0.1', () => {
        onward.write(`GET ${new URL(request.url ?? '').pathname} HTTP/1.0\r\n\r\n`);
      });
      onward.pipe(response.socket as Socket);
    });
    await new Promise<void>((ready) => proxy.listen(0, '127.0.0.1', ready));
    return `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  };
  afterAll(() => proxy.closeAllConnections());

  test('is asked for what lies elsewhere, and not for what it is not for', async () => {
    const { server } = await serve({ file: 'by proxy' });
    const http_proxy = `http://me:word@${await startProxy(server)}`;
    const buildfile = 'FROM scratch\nADD http://far.invalid/file /\n';
    expect((await run(buildfile, { env: { http_proxy } })).code).toBe(0);
    const authorization = `Basic ${Buffer.from('me:word').toString('base64')}`;
    expect(seen).toEqual([`GET http://far.invalid/file ${authorization}`]);
    const direct = await run(buildfile, { env: { http_proxy, NO_PROXY: 'invalid' } });
    expect(direct.stderr).toContain('far.invalid: there is no host of that name');
    const odd = await run(buildfile, { env: { http_proxy: 'socks5://127.0.0.1:1' } });
    expect(odd.stderr).toContain('error[PROXY_INVALID]: http_proxy names no proxy that can be used');
    expect(existsSync(join(person!.store, 'cache', 'downloads'))).toBe(true);
  });
});
