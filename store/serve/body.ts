// The body of a request, with its limits: a client that sends next to nothing for a long time is cut off.
import { RequestError } from './errors.js';
import type { Exchange } from './exchange.js';

/** In each period of `bodyTimeoutMs`, that much must come. */
const leastBytes = 1024;

/** @throws RequestError 408; ConnectionLost when the client went away */
export async function* readBody({ request, response, registry, traffic }: Exchange): AsyncGenerator<Buffer> {
  // Asked before it is sent: what is refused by then has cost nothing.
  if (/^100-continue$/i.test(request.headers.expect ?? '')) response.writeContinue();
  let lately = 0;
  let waiting = false;
  let isSlow = false;
  const timer = setInterval(() => {
    if (waiting && lately < leastBytes) {
      isSlow = true;
      request.destroy();
    }
    lately = 0;
  }, registry.bodyTimeoutMs);
  try {
    const chunks = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      waiting = true;
      const { value: chunk, done } = await chunks.next();
      waiting = false;
      if (done) return;
      lately += chunk.length;
      traffic.bytesIn += chunk.length;
      yield chunk;
    }
  } catch (error) {
    if (isSlow) throw new ConnectionLost('the body came too slowly');
    if (request.destroyed || request.readableAborted)
      throw new ConnectionLost('the client went away', { cause: error });
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Nobody is there to be answered. */
export class ConnectionLost extends Error {}

/** @throws RequestError 413 */
export async function readDocument(exchange: Exchange, maxBytes: number): Promise<Buffer> {
  const tooLarge = (): RequestError =>
    new RequestError(413, 'SIZE_INVALID', `a manifest may have ${maxBytes} bytes at most`);
  if (Number(exchange.request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of readBody(exchange)) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
