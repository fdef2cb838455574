// Into a registry: mounting, sending in one request or in pieces, and the manifest at the end.
import type { Readable } from 'node:stream';
import { StoreError } from '../errors.js';
import type { Descriptor, Digest } from '../words.js';
import { type HttpResponse, requireSafeTarget } from './http-client.js';
import { drain, type Registry } from './registry-client.js';
import { withRetries } from './retry.js';

/** Where an upload goes on; null when the blob was mounted from `from` and is there. */
export async function startUpload(registry: Registry, digest: Digest, from: string | null): Promise<URL | null> {
  const url = registry.url('blobs/uploads/');
  if (from !== null) url.search = `${new URLSearchParams({ mount: digest, from })}`;
  const response = await registry.send({ method: 'POST', url, headers: { 'content-length': '0' } }, [201, 202]);
  await drain(response);
  return response.status === 201 ? null : uploadLocation(registry, response);
}

function uploadLocation(registry: Registry, response: HttpResponse): URL {
  const location = response.headers.location ?? '';
  if (URL.canParse(location, response.url.href)) {
    const url = new URL(location, response.url);
    requireSafeTarget(registry.origin, url);
    return url;
  }
  throw new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry.name} started an upload but named no valid place for it: ${JSON.stringify(location.slice(0, 200))}`,
  });
}

export interface UploadSource {
  readonly descriptor: Descriptor;
  /** Bytes `start` to `end` (exclusive). */
  open(start: number, end: number): Readable;
}

/**
 * Sends a blob: in one request where it is small, in pieces that are resumed where a connection breaks otherwise.
 *
 * @param started an upload that is begun already
 * @param onSent called with the number of bytes that arrived so far
 */
export async function uploadBlob(
  registry: Registry,
  source: UploadSource,
  started: URL | null,
  onSent: (bytes: number) => void,
): Promise<void> {
  const { size } = source.descriptor;
  let location = started;
  await withRetries(registry.retry, async () => {
    const place = location ?? (await startUpload(registry, source.descriptor.digest, null));
    location = null; // a retry begins anew: what a broken upload holds is not known
    if (place === null) return;
    if (size <= registry.chunkBytes) await finishUpload(registry, source, place, 0);
    else await finishUpload(registry, source, await sendChunks(registry, source, place, onSent), size);
  });
  onSent(size);
}

/** PUT with the digest, and with the bytes from `start` on. */
async function finishUpload(registry: Registry, source: UploadSource, place: URL, start: number): Promise<void> {
  const { digest, size } = source.descriptor;
  const url = new URL(place);
  url.searchParams.set('digest', digest);
  const response = await registry.attempt(
    {
      method: 'PUT',
      url,
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size - start) },
      body: start === size ? undefined : () => source.open(start, size),
    },
    [201, 204],
  );
  await drain(response);
}

async function sendChunks(
  registry: Registry,
  source: UploadSource,
  started: URL,
  onSent: (bytes: number) => void,
): Promise<URL> {
  const { size } = source.descriptor;
  let place = started;
  let sent = 0;
  while (sent < size) {
    [place, sent] = await withRetries(registry.retry, async (n) => {
      // After a failure the server knows best how far it came.
      if (n > 1) [place, sent] = await uploadStatus(registry, place);
      if (sent >= size) return [place, sent];
      return sendChunk(registry, source, place, sent, Math.min(size, sent + registry.chunkBytes));
    });
    onSent(Math.min(sent, size));
  }
  return place;
}

async function sendChunk(
  registry: Registry,
  source: UploadSource,
  place: URL,
  start: number,
  end: number,
): Promise<[URL, number]> {
  const response = await registry.attempt(
    {
      method: 'PATCH',
      url: place,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(end - start),
        'content-range': `${start}-${end - 1}`,
      },
      body: () => source.open(start, end),
    },
    [202],
  );
  await drain(response);
  return [uploadLocation(registry, response), end];
}

async function uploadStatus(registry: Registry, place: URL): Promise<[URL, number]> {
  const response = await registry.attempt({ method: 'GET', url: place }, [204]);
  await drain(response);
  const range = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers.range ?? ''));
  // 'Range: 0-0' is what registries say of an empty upload; one byte more or less can't be told apart, so none is assumed.
  const last = range === null ? 0 : Number(range[1]);
  return [uploadLocation(registry, response), last === 0 ? 0 : last + 1];
}

export async function putManifest(registry: Registry, name: string, bytes: Buffer, mediaType: string): Promise<void> {
  const response = await registry.send(
    {
      method: 'PUT',
      url: registry.url(`manifests/${name}`),
      headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
      body: bytes,
    },
    [201],
  );
  await drain(response);
}
