// What a step may ask of an ssh agent, over real sockets, however the bytes are cut.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { relayAgent } from '../../src/build/ssh-relay.js';

const dir = mkdtempSync(join(tmpdir(), 'tsbuild-relay-'));
/** What reached the agent; it answers each message with the same contents under type 99. */
const reached: Buffer[] = [];
let servers: Server[] = [];

beforeAll(async () => {
  servers = [
    await listen('agent', (client) => {
      let bytes = Buffer.alloc(0);
      client.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
          const length = bytes.readUInt32BE(0);
          reached.push(Buffer.from(bytes.subarray(4, 4 + length)));
          client.write(message(99, bytes.subarray(5, 4 + length)));
          bytes = bytes.subarray(4 + length);
        }
      });
      client.on('error', () => {});
    }),
    await listen('relay', (client) => relayAgent(client, connect(join(dir, 'agent')))),
  ];
});

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(dir, { recursive: true });
});

test('requests to list and to sign get the agent answer, all others a failure, each in its turn', async () => {
  const request = fc.record({
    type: fc.oneof(fc.constantFrom(11, 13), fc.integer({ min: 0, max: 255 })),
    contents: fc.uint8Array({ maxLength: 40 }),
  });
  const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 12 }), cuts, async (requests, pieces) => {
      reached.length = 0;
      const sent = Buffer.concat(requests.map(({ type, contents }) => message(type, contents)));
      const passes = ({ type }: { type: number }): boolean => type === 11 || type === 13;
      const answers = requests.map((each) =>
        passes(each) ? message(99, each.contents) : message(5, new Uint8Array()),
      );
      expect(await exchange(sent, pieces)).toEqual(Buffer.concat(answers));
      expect(reached.map((each) => each[0])).toEqual(requests.filter(passes).map(({ type }) => type));
    }),
    { numRuns: 60 },
  );
});

test('what is no message ends the connection, and no byte of it reaches the agent', async () => {
  reached.length = 0;
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\0\0\0\0', '\xff\xff\xff\xff\x0b']) {
    expect(await exchange(Buffer.from(bytes, 'latin1'), [64])).toEqual(Buffer.alloc(0));
  }
  expect(reached).toEqual([]);
});

function message(type: number, contents: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + contents.length);
  head[4] = type;
  return Buffer.concat([head, contents]);
}

/** Sends the bytes in pieces, and returns all that comes back. */
function exchange(bytes: Buffer, pieces: readonly number[]): Promise<Buffer> {
  const client = connect(join(dir, 'relay'));
  const answer: Buffer[] = [];
  client.on('data', (chunk: Buffer) => answer.push(chunk));
  client.on('error', () => {});
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = pieces[i % pieces.length]!;
    client.write(bytes.subarray(at, at + size));
    at += size;
  }
  client.end();
  return new Promise((resolve) => client.once('close', () => resolve(Buffer.concat(answer))));
}

function listen(name: string, serve: (client: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, serve);
  return new Promise((resolve) => server.listen(join(dir, name), () => resolve(server)));
}
