// Stored bytes → a client, never wrong ones in silence. What is sent whole is hashed on its way, and where it comes to another
// digest the connection is cut before the last bytes. Before a part of it is sent, a file is hashed once, and again when its
// inode, size or times are others.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { putAside } from '../content/blob.js';
import { readFailure } from '../damage.js';
import { ConnectionLost } from './body.js';
import { RequestError } from './errors.js';
import { answer, type Exchange, type Headers, type Registry, whileClientWaits } from './exchange.js';
import type { StoredFile } from './holdings.js';
import { type ByteRange, parseRange } from './range.js';

const chunkBytes = 1 << 20;

/** @throws RequestError 416; BLOB_UNKNOWN when the bytes are found damaged in time */
export async function sendFile(exchange: Exchange, file: StoredFile, headers: Headers): Promise<void> {
  const { registry, request } = exchange;
  const handle = await open(file.path, 'r');
  try {
    const stat = await handle.stat();
    if (stat.size !== file.size) throw damaged(registry, file);
    if (request.method === 'HEAD') return sendHeaders(exchange, 200, file.size, headers);
    const range = parseRange(isSame(request.headers['if-range'], file) ? request.headers.range : undefined, file.size);
    if (range === null) return await sendWhole(exchange, file, handle, stat, headers);
    if (!registry.verified.has(file.digest, stat)) {
      await whileClientWaits(exchange, () => verify(registry, file, handle, stat));
    }
    const place = { 'content-range': `bytes ${range.start}-${range.end}/${file.size}` };
    sendHeaders(exchange, 206, range.end - range.start + 1, { ...headers, ...place });
    for await (const chunk of chunksOf(file, handle, range)) await send(exchange, chunk);
    exchange.response.end();
  } finally {
    await handle.close();
  }
}

/** If-Range by time never holds: there is no time that a digest was modified at. */
function isSame(condition: string | readonly string[] | undefined, { digest }: StoredFile): boolean {
  return condition === undefined || condition === `"${digest}"`;
}

function sendHeaders({ response, request }: Exchange, status: number, size: number, headers: Headers): void {
  response.writeHead(status, { ...headers, 'content-length': size });
  if (request.method === 'HEAD') response.end();
}

async function sendWhole(
  exchange: Exchange,
  file: StoredFile,
  handle: FileHandle,
  stat: Stats,
  headers: Headers,
): Promise<void> {
  if (file.size === 0) return answer(exchange, 200, headers);
  sendHeaders(exchange, 200, file.size, headers);
  const hash = createHash('sha256');
  let last: Buffer | null = null;
  for await (const chunk of chunksOf(file, handle, { start: 0, end: file.size - 1 })) {
    if (last !== null) await send(exchange, last);
    hash.update(chunk);
    last = chunk;
  }
  if (`sha256:${hash.digest('hex')}` !== file.digest || last === null) {
    exchange.response.destroy();
    throw damaged(exchange.registry, file);
  }
  exchange.registry.verified.add(file.digest, stat);
  await send(exchange, last);
  exchange.response.end();
}

async function verify(registry: Registry, file: StoredFile, handle: FileHandle, stat: Stats): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(file, handle, { start: 0, end: file.size - 1 })) hash.update(chunk);
  if (`sha256:${hash.digest('hex')}` !== file.digest) throw damaged(registry, file);
  registry.verified.add(file.digest, stat);
}

function damaged({ store, notice }: Registry, { digest, path, kind }: StoredFile): RequestError {
  if (kind === 'blob') notice(putAside(store, digest, 'its bytes hash to something else').message);
  else notice(`${path} is damaged, and was not sent: see 'tsbuild fsck'`);
  return new RequestError(404, 'BLOB_UNKNOWN', `the bytes of ${digest} are damaged: push it again`);
}

/** A file that ends early gives less. */
async function* chunksOf(file: StoredFile, handle: FileHandle, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  for (let position = start; position <= end; ) {
    const wanted = Math.min(chunkBytes, end + 1 - position);
    const reading = handle.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, position);
    const { bytesRead, buffer } = await reading.catch((error: unknown) => {
      throw readFailure(file.kind === 'tar' ? 'layer' : 'blob', file.digest, error);
    });
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function send({ response, traffic }: Exchange, chunk: Buffer): Promise<void> {
  if (response.destroyed || response.closed) throw new ConnectionLost('the client went away');
  traffic.bytesOut += chunk.length;
  if (response.write(chunk)) return;
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  response.once('close', onClose);
  try {
    await once(response, 'drain', { signal: gone.signal });
  } catch (error) {
    throw gone.signal.aborted ? new ConnectionLost('the client went away') : error;
  } finally {
    response.off('close', onClose);
  }
}
