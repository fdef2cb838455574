// Into a registry: mounting, sending in one request or in pieces, and the manifest at the end.
import type { Readable } from 'node:stream';
import { StoreError } from '../errors.js';
import { sha256 } from '../image/resolve.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import { type HttpRequest, type HttpResponse, requireSafeTarget } from './http-client.js';
import { addToReferrersTag, referrerOf } from './referrers.js';
import { drain, type Registry } from './registry-client.js';
import { hasBlob } from './registry-fetch.js';
import { TransientError, withRetries } from './retry.js';

/**
 * Where an upload goes on; null when the blob was mounted and is there.
 *
 * @param from a repository that has it; null: whichever the registry knows of
 */
export async function startUpload(registry: Registry, digest: Digest, from: string | null): Promise<URL | null> {
  const url = registry.url('blobs/uploads/');
  const mount = new URL(url);
  mount.search = `${new URLSearchParams({ mount: digest, ...(from !== null && { from }) })}`;
  const response = await post(registry, mount).catch((error) => {
    // A mount is a wish: who may not see the other repository, or knows no mounts, gets the bytes.
    if (error instanceof StoreError && /^REGISTRY_(ANSWER_INVALID|UNAUTHORIZED|DENIED|NOT_FOUND)$/.test(error.code))
      return post(registry, url);
    throw error;
  });
  const least = Number(response.headers['oci-chunk-min-length'] ?? 0);
  if (Number.isSafeInteger(least)) registry.limits.leastChunkBytes = least;
  // Some say 201 of an upload that begins.
  if (response.status === 201 && isThere(response, digest)) return null;
  return uploadLocation(registry, response, null);
}

async function post(registry: Registry, url: URL): Promise<HttpResponse> {
  const response = await registry.send({ method: 'POST', url, headers: { 'content-length': '0' } }, [201, 202]);
  await drain(response);
  return response;
}

function isThere({ headers }: HttpResponse, digest: Digest): boolean {
  return headers['docker-content-digest'] === digest || !/\/blobs\/uploads\//.test(headers.location ?? '');
}

/** @param known where it was so far, for registries that say it once */
function uploadLocation(registry: Registry, response: HttpResponse, known: URL | null): URL {
  const location = response.headers.location;
  if (location === undefined && known !== null) return known;
  if (location !== undefined && URL.canParse(location, response.url.href)) {
    const url = new URL(location, response.url);
    // Behind a proxy that speaks TLS for them, registries don't know that it does.
    if (
      registry.origin.protocol === 'https:' &&
      url.protocol === 'http:' &&
      url.hostname === registry.origin.hostname
    ) {
      return new URL(`${url.pathname}${url.search}`, registry.origin);
    }
    requireSafeTarget(registry.origin, url);
    return url;
  }
  throw new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry.name} started an upload but named no valid place for it: ${JSON.stringify((location ?? '').slice(0, 200))}`,
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
  const { size, digest } = source.descriptor;
  let location = started;
  await withRetries(registry.retry, async (n) => {
    // The answer may be all that was lost; or somebody else has sent the same meanwhile.
    if (n > 1 && (await hasBlob(registry, source.descriptor))) return;
    const place = location ?? (await startUpload(registry, digest, null));
    location = null; // a retry begins anew: what a broken upload holds is not known
    if (place === null) return;
    const chunkBytes = Math.max(registry.chunkBytes, registry.limits.leastChunkBytes);
    if (size <= chunkBytes) await finishUpload(registry, source, place, 0);
    else await finishUpload(registry, source, await sendChunks(registry, source, place, chunkBytes, onSent), size);
  });
  onSent(size);
}

/** PUT with the digest, and with the bytes from `start` on. */
async function finishUpload(registry: Registry, source: UploadSource, place: URL, start: number): Promise<void> {
  const { digest, size } = source.descriptor;
  const url = withParameter(place, 'digest', digest);
  const request: HttpRequest = {
    method: 'PUT',
    url,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(size - start) },
    body: start === size ? undefined : () => source.open(start, size),
  };
  // What went in pieces is not sent again because its end was not heard.
  const attempt = (): Promise<HttpResponse> => registry.attempt(request, [200, 201, 202, 204]);
  const response = await (start === size ? withRetries(registry.retry, attempt) : attempt()).catch(beginAgain);
  await drain(response);
}

/** The parameters of an upload's place are the registry's own, to be given back byte for byte. */
function withParameter(place: URL, name: string, value: string): URL {
  const url = new URL(place);
  url.search = `${place.search === '' ? '?' : `${place.search}&`}${name}=${encodeURIComponent(value)}`;
  return url;
}

/** An upload that the registry has forgotten, or holds otherwise than we think, may be made anew. */
function beginAgain(error: unknown): never {
  throw error instanceof StoreError && /^REGISTRY_(NOT_FOUND|ANSWER_INVALID)$/.test(error.code)
    ? new TransientError(error)
    : error;
}

async function sendChunks(
  registry: Registry,
  source: UploadSource,
  started: URL,
  chunkBytes: number,
  onSent: (bytes: number) => void,
): Promise<URL> {
  const { size } = source.descriptor;
  let place = started;
  let sent = 0;
  while (sent < size) {
    [place, sent] = await withRetries(registry.retry, async (n): Promise<[URL, number]> => {
      // After a failure the server knows best how far it came.
      if (n > 1) [place, sent] = await uploadStatus(registry, place, size);
      onSent(sent);
      if (sent >= size) return [place, sent];
      return sendChunk(registry, source, place, sent, Math.min(size, sent + chunkBytes));
    }).catch(beginAgain);
    onSent(sent);
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
    [200, 201, 202, 204, 416],
  );
  await drain(response);
  const url = uploadLocation(registry, response, place);
  if (response.status !== 416) return [url, end];
  // It has more or less than we thought, and is asked what.
  throw new TransientError(
    new StoreError('REGISTRY_ANSWER_INVALID', {
      message: `${registry.name} does not take bytes ${start} to ${end - 1} of ${source.descriptor.digest} (HTTP 416)`,
    }),
  );
}

async function uploadStatus(registry: Registry, place: URL, size: number): Promise<[URL, number]> {
  const response = await registry.attempt({ method: 'GET', url: place }, [200, 204]);
  await drain(response);
  const range = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers.range ?? ''));
  // 'Range: 0-0' is what registries say of an empty upload; one byte more or less can't be told apart, so none is assumed.
  const last = range === null ? 0 : Number(range[1]);
  const arrived = last === 0 ? 0 : last + 1;
  if (arrived <= size) return [uploadLocation(registry, response, place), arrived];
  throw new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry.name} holds ${arrived} bytes of an upload of ${size}`,
  });
}

/**
 * A manifest that refers to another is put on the list of those, where the registry does not do so itself.
 *
 * @throws StoreError REGISTRY_ANSWER_INVALID when it is kept under another digest
 */
export async function putManifest(registry: Registry, name: string, bytes: Buffer, mediaType: string): Promise<void> {
  const response = await sendManifest(registry, name, bytes, mediaType);
  const referrer = response.headers['oci-subject'] === undefined ? referrerOf(bytes, mediaType) : null;
  if (referrer === null) return;
  await addToReferrersTag(registry, referrer.subject, referrer.entry, (tag, index) =>
    sendManifest(registry, tag, index, mediaTypes.ociIndex),
  );
}

async function sendManifest(registry: Registry, name: string, bytes: Buffer, mediaType: string): Promise<HttpResponse> {
  const response = await registry.send(
    {
      method: 'PUT',
      url: registry.url(`manifests/${name}`),
      headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
      body: bytes,
    },
    [200, 201, 202, 204],
  );
  await drain(response);
  const kept = response.headers['docker-content-digest'];
  const digest = sha256(bytes);
  if (kept !== undefined && String(kept).startsWith('sha256:') && kept !== digest) {
    throw new StoreError('REGISTRY_ANSWER_INVALID', {
      message: `${registry.name} keeps the manifest ${digest} as ${String(kept).slice(0, 100)}: it has changed it`,
      hint: 'such an image can not be pulled by its digest; use another registry, or ask its operator',
    });
  }
  return response;
}
