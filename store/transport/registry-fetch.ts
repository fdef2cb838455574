// What a registry or its mirrors have: manifests, and blobs with resume.
import { StoreError } from '../errors.js';
import { sha256 } from '../image/resolve.js';
import { maxDocumentBytes } from '../image/strict-json.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import { type HttpResponse, readBody } from './http-client.js';
import { failure, timedOut } from './http-failure.js';
import { drain, type Registry } from './registry-client.js';
import { bytesFromSources, fromSources } from './registry-sources.js';
import { attemptsOf, pause, TransientError, withRetries } from './retry.js';

export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

const manifestTypes = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
] as const;

/**
 * @param name a tag or a digest
 * @throws StoreError REGISTRY_NOT_FOUND, BLOB_DIGEST_MISMATCH
 */
export function fetchManifest(registry: Registry, name: string): Promise<FetchedManifest> {
  return fromSources(registry, isDigest(name) ? 'digest' : 'tag', (source) => manifestFrom(source, name));
}

function isDigest(name: string): boolean {
  return name.includes(':');
}

async function manifestFrom(registry: Registry, name: string): Promise<FetchedManifest> {
  const url = registry.url(`manifests/${name}`);
  const headers = { accept: manifestTypes.join(', ') };
  const response = await withRetries(registry.retry, async () => {
    const answer = await registry.attempt({ method: 'GET', url, headers }, [200]);
    return { headers: answer.headers, bytes: await readBody(answer, maxDocumentBytes) };
  }).catch(async (error) => {
    throw error instanceof StoreError && error.code === 'REGISTRY_NOT_FOUND'
      ? await notThere(registry, name, error)
      : error;
  });
  const { bytes, headers: said } = response;
  const digest = sha256(bytes);
  const announced = isDigest(name) ? name : said['docker-content-digest'];
  if (announced !== undefined && announced !== digest) {
    throw new StoreError('BLOB_DIGEST_MISMATCH', {
      message: `${registry.name}/${registry.repository}: the manifest ${String(announced).slice(0, 100)} came with the bytes of ${digest}`,
      hint: 'it was damaged or exchanged on its way; try again',
    });
  }
  const mediaType = (said['content-type'] ?? '').split(';')[0]?.trim() ?? '';
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
}

/** Registries hide what somebody may not see. */
async function notThere(registry: Registry, name: string, cause: StoreError): Promise<StoreError> {
  const { name: host, repository } = registry;
  const kind = isDigest(name) ? 'digest' : 'tag';
  return new StoreError('REGISTRY_NOT_FOUND', {
    message: `${host} has no ${host}/${repository}${kind === 'tag' ? ':' : '@'}${name}`,
    hint: `check the ${kind} ${name}, and the name ${repository}; if it is private: ${await registry.describeLogin()}`,
    cause,
  });
}

/** A small blob (a config). The caller checks its digest. */
export function fetchDocument(registry: Registry, digest: Digest): Promise<Buffer> {
  return fromSources(registry, 'digest', (source) =>
    withRetries(source.retry, async () => {
      const url = source.url(`blobs/${digest}`);
      return readBody(await source.attempt({ method: 'GET', url }, [200]), maxDocumentBytes);
    }),
  );
}

/**
 * The bytes of a blob from `first` on, up to its `size`, continued by Range where a connection breaks. Whoever reads them checks the
 * digest: it alone says that a part that came later belongs to one that came before, whoever sent it.
 *
 * @throws StoreError BLOB_SIZE_MISMATCH, REGISTRY_UNREACHABLE
 */
export function fetchBlob(registry: Registry, blob: Descriptor, first = 0): AsyncGenerator<Buffer> {
  return bytesFromSources(registry, (source, start) => blobFrom(source, blob, first + start));
}

/** An attempt that brought less is no progress: a server must not keep us by a byte now and then. */
const fruitfulBytes = 64 * 1024;

async function* blobFrom(registry: Registry, blob: Descriptor, start: number): AsyncGenerator<Buffer> {
  let received = start;
  // Attempts without progress in a row.
  for (let fruitless = 1; ; ) {
    const before = received;
    try {
      const response = await requestFrom(registry, blob, received);
      let skip = response.status === 200 ? received : 0; // a server without ranges starts anew
      const chunks = steadily(response, registry.idleTimeoutMs);
      for await (const chunk of chunks) {
        const fresh = skip === 0 ? chunk : chunk.subarray(skip);
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        received += fresh.length;
        // Whoever has read the last byte may not ask again: the answer is read to its end, and the connection kept.
        const more = received === blob.size ? await chunks.next().catch(() => null) : null;
        if (received > blob.size || more?.value !== undefined) throw sizeMismatch(blob, `more than ${blob.size} bytes`);
        yield fresh;
      }
      if (received === blob.size) return;
      throw new TransientError(sizeMismatch(blob, `${received} bytes`));
    } catch (error) {
      const problem = asTransient(registry, error);
      fruitless = received - before >= fruitfulBytes ? 1 : fruitless + 1;
      if (fruitless > attemptsOf(registry.retry)) throw problem.final;
      await pause(registry.retry, fruitless, problem);
    }
  }
}

const leastBytesPerSecond = 1024;

/** Gives up a body that only drips. Time in which nobody asks for more does not count. */
async function* steadily(response: HttpResponse, windowMs: number): AsyncGenerator<Buffer> {
  const chunks = response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let waitedMs = 0;
  let bytes = 0;
  try {
    for (;;) {
      const asked = performance.now();
      const { value, done } = await chunks.next();
      if (done === true) return;
      waitedMs += performance.now() - asked;
      bytes += value.length;
      if (waitedMs >= windowMs) {
        if (bytes < (leastBytesPerSecond * windowMs) / 1000)
          throw timedOut(`only ${bytes} bytes came in ${windowMs} ms`);
        waitedMs = 0;
        bytes = 0;
      }
      yield value;
    }
  } finally {
    response.body.destroy();
  }
}

async function requestFrom(registry: Registry, blob: Descriptor, start: number): Promise<HttpResponse> {
  const headers: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` };
  const url = registry.url(`blobs/${blob.digest}`);
  const response = await registry.attempt({ method: 'GET', url, headers }, [200, 206]);
  if (response.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '');
    const total = range?.[2];
    if (range === null || Number(range[1]) !== start || (total !== '*' && Number(total) !== blob.size)) {
      response.body.destroy();
      throw new TransientError(
        new StoreError('REGISTRY_ANSWER_INVALID', {
          message: `${response.url.host} was asked for ${blob.digest} from byte ${start} and answered with ${response.headers['content-range']}`,
        }),
      );
    }
    return response;
  }
  const length = response.headers['content-length'];
  if (length !== undefined && Number(length) !== blob.size) {
    response.body.destroy();
    throw sizeMismatch(blob, `${length} bytes`);
  }
  return response;
}

function asTransient(registry: Registry, error: unknown): TransientError {
  if (error instanceof TransientError) return error;
  const meaning =
    error instanceof Error && 'code' in error && !(error instanceof StoreError)
      ? failure(registry.origin, error as NodeJS.ErrnoException)
      : error;
  if (meaning instanceof TransientError) return meaning;
  throw meaning;
}

function sizeMismatch(blob: Descriptor, found: string): StoreError {
  return new StoreError('BLOB_SIZE_MISMATCH', {
    message: `blob ${blob.digest} should have ${blob.size} bytes, the registry sent ${found}`,
    hint: 'the image is damaged at its source, or the connection cuts it short',
  });
}

/** True if the repository has it, with that size. */
export async function hasBlob(registry: Registry, blob: Descriptor): Promise<boolean> {
  const url = registry.url(`blobs/${blob.digest}`);
  const asked = await registry.send({ method: 'HEAD', url }, [200, 404, 405, 501]);
  await drain(asked);
  if (asked.status === 200) return sizeOf(asked, blob.size) === blob.size;
  if (asked.status === 404) return false;
  // A server (or a proxy before it) without HEAD: one byte says as much.
  const response = await registry.send({ method: 'GET', url, headers: { range: 'bytes=0-0' } }, [200, 206, 404, 416]);
  response.body.destroy();
  return response.status !== 404 && sizeOf(response, blob.size) === blob.size;
}

function sizeOf({ status, headers }: HttpResponse, unsaid: number): number {
  if (status === 200) return Number(headers['content-length'] ?? unsaid);
  const total = /\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1];
  return total === undefined ? unsaid : Number(total);
}
