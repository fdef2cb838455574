// What passes between a step and an ssh agent. A step may ask which keys there are and have something signed, one request
// after the other; whatever else it asks (to add or remove keys, to lock the agent) is answered with a failure, here.
// Each message: u32 length (big endian), a type byte, contents. See draft-miller-ssh-agent, 3 to 5.
import type { Socket } from 'node:net';

const requestIdentities = 11;
const signRequest = 13;
const failure = Buffer.from([0, 0, 0, 1, 5]);
/** As OpenSSH has it. */
const maxMessageBytes = 256 * 1024;

export function relayAgent(client: Socket, agent: Socket): void {
  endTogether(client, agent);
  serve(client, agent).then(
    () => client.end(),
    () => client.destroy(), // either side is gone, or speaks something else
  );
}

/** For agents of other kinds than ssh's. */
export function relayBytes(client: Socket, other: Socket): void {
  endTogether(client, other);
  client.pipe(other).pipe(client);
}

async function serve(client: Socket, agent: Socket): Promise<void> {
  const replies = messages(agent);
  for await (const request of messages(client)) {
    const type = request[4];
    if (type !== requestIdentities && type !== signRequest) {
      client.write(failure);
      continue;
    }
    agent.write(request);
    const reply = await replies.next();
    if (reply.done) throw new Error('the agent ended');
    client.write(reply.value);
  }
}

/** Whole messages, their lengths included. */
async function* messages(socket: Socket): AsyncGenerator<Buffer, void, void> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (length === 0 || length > maxMessageBytes) throw new Error(`a message of ${length} bytes`);
      if (bytes.length < 4 + length) break;
      yield bytes.subarray(0, 4 + length);
      bytes = bytes.subarray(4 + length);
    }
  }
}

function endTogether(a: Socket, b: Socket): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => {}); // 'close' follows
    one.once('close', () => other.destroy());
  }
}
