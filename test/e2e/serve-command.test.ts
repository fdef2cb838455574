// `tsbuild serve` as a command: what it says, how it ends, and uploads that outlive it.
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startServer } from '../support/serving.js';
import { people } from '../support/tsbuild.js';

const person = people().at(-1)!;

const pause = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 10));

/** Sends `bytes` of a longer body, and goes on sending until the connection breaks. */
function sendSlowly(url: string, bytes: Buffer): void {
  const sent = request(url, { method: 'PATCH', headers: { 'transfer-encoding': 'chunked' } });
  sent.on('error', () => {});
  sent.write(bytes);
}

describe.each(people().map((each) => [each.name, each] as const))('as %s', (_, someone) => {
  test('an upload goes on after the server was killed in the middle of it and started again', async () => {
    const store = ['--store', someone.dir('killed')];
    const bytes = Buffer.alloc(3_000_000, 'content');
    const first = await startServer(someone, store);
    const { location } = (await first.ask('POST', '/v2/app/blobs/uploads/')).headers;
    expect((await first.ask('PATCH', location!, { body: bytes.subarray(0, 1_000_000) })).status).toBe(202);
    const came = async (server: typeof first): Promise<number> =>
      Number(String((await server.ask('GET', location!)).headers.range).slice(2)) + 1;
    sendSlowly(`http://${first.name}${location}`, bytes.subarray(1_000_000, 1_500_000));
    while ((await came(first)) < 1_100_000) await pause();
    expect(await first.end('SIGKILL')).toBeNull();

    const second = await startServer(someone, store);
    const from = await came(second);
    expect(from).toBeGreaterThanOrEqual(1_100_000);
    const range = { 'content-range': `${from}-${bytes.length - 1}` };
    expect((await second.ask('PATCH', location!, { body: bytes.subarray(from), headers: range })).status).toBe(202);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    expect((await second.ask('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    expect((await second.ask('GET', `/v2/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    expect(await second.end('SIGTERM')).toBe(0);
  });
});

test('it says where it listens, and ends in peace when it is told to', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const server = await startServer(person);
    expect(server.said()).toMatch(/^serving at http:\/\/127\.0\.0\.1:\d+\n$/);
    expect((await server.ask('GET', '/healthz')).body.toString()).toBe('ok\n');
    expect(await server.end(signal)).toBe(0);
  }
});

test('it warns where everybody could push, and not where nobody can', async () => {
  const open = await startServer(person, ['--listen', '0.0.0.0:0']);
  while (!open.said().includes('warning: whoever reaches this address may pull, push and delete')) await pause();
  const users = join(person.dir('users'), 'users');
  writeFileSync(users, `ci:$2y$04$${'a'.repeat(53)}\n`);
  const guarded = await startServer(person, ['--listen', '0.0.0.0:0', '--htpasswd', users]);
  expect(guarded.said()).not.toMatch(/warning/);
});

test('the access log goes to a file, or to standard output alone', async () => {
  const file = join(person.dir('log'), 'access.jsonl');
  const one = await startServer(person, ['--access-log', file]);
  await one.ask('GET', '/v2/');
  await one.end('SIGTERM');
  appendFileSync(file, '');
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ method: 'GET', path: '/v2/', status: 200 });
  const two = await startServer(person, ['--access-log', '-']);
  await two.ask('GET', '/v2/_catalog');
  await two.end('SIGTERM');
  expect(two.said()).toMatch(/"path":"\/v2\/_catalog","status":200/);
});

const wrong: [args: string[], code: number, says: RegExp][] = [
  [['--listen', '5000'], 2, /--listen 5000 is no address/],
  [['--listen', '127.0.0.1:99999'], 2, /is no address/],
  [['--tls-cert', 'x'], 2, /--tls-cert and --tls-key belong together/],
  [['--tls-client-ca', 'x'], 2, /--tls-client-ca is for HTTPS/],
  [['--anonymous-pull'], 2, /--anonymous-pull needs users/],
  [['--auth', 'token'], 2, /--auth token needs users/],
  [['--auth', 'magic'], 2, /--auth does not take "magic"/],
  [['--allow', 'ci:**:pull'], 2, /--allow needs users/],
  [['--quota', 'much'], 2, /--quota much is no size/],
  [['--max-uploads', '0'], 2, /--max-uploads 0 is no number/],
  [['--grace', 'x'], 2, /--grace x is no duration/],
  [['--htpasswd', 'none'], 1, /error\[SERVE_FILE_UNREADABLE\]: none can't be read \(ENOENT\)/],
  [['--tls-cert', 'none', '--tls-key', 'none'], 1, /SERVE_FILE_UNREADABLE/],
  [
    ['--listen', '203.0.113.1:5000'],
    1,
    /error\[SERVE_ADDRESS\]: can't listen at 203\.0\.113\.1:5000: this machine has no such address/,
  ],
];
test.each(wrong)('serve %j is refused', async (args, code, says) => {
  const answer = await person.run(['serve', ...args]);
  expect([answer.code, answer.stderr]).toEqual([code, expect.stringMatching(says)]);
});
