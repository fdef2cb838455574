// What a registry has: manifests, and blobs with resume.
import { StoreError } from '../errors.js';
import { sha256 } from '../image/resolve.js';
import { maxDocumentBytes } from '../image/strict-json.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import { type HttpResponse, readBody } from './http-client.js';
import { failure } from './http-failure.js';
import { drain, type Registry } from './registry-client.js';
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
export async function fetchManifest(registry: Registry, name: string): Promise<FetchedManifest> {
  const response = await withRetries(registry.retry, async () => {
    const answer = await registry.attempt(
      { method: 'GET', url: registry.url(`manifests/${name}`), headers: { accept: manifestTypes.join(', ') } },
      [200],
    );
    return { headers: answer.headers, bytes: await readBody(answer, maxDocumentBytes) };
  });
  const { bytes, headers } = response;
  const digest = sha256(bytes);
  const announced = name.startsWith('sha256:') ? name : headers['docker-content-digest'];
  if (announced !== undefined && announced !== digest) {
    throw new StoreError('BLOB_DIGEST_MISMATCH', {
      message: `${registry.name}/${registry.repository}: the manifest ${String(announced).slice(0, 100)} came with the bytes of ${digest}`,
      hint: 'it was damaged or exchanged on its way; try again',
    });
  }
  const mediaType = (headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
}

/** A small blob (a config). The caller checks its digest. */
export async function fetchDocument(registry: Registry, digest: Digest): Promise<Buffer> {
  return withRetries(registry.retry, async () => {
    const url = registry.url(`blobs/${digest}`);
    return readBody(await registry.attempt({ method: 'GET', url }, [200]), maxDocumentBytes);
  });
}

/**
 * The bytes of a blob, exactly `size` of them, continued by Range where a connection breaks. Whoever reads them checks the digest.
 *
 * @throws StoreError BLOB_SIZE_MISMATCH, REGISTRY_UNREACHABLE
 */
export async function* fetchBlob(registry: Registry, blob: Descriptor): AsyncGenerator<Buffer> {
  let received = 0;
  // Attempts without a single new byte in a row; progress resets the count.
  for (let fruitless = 1; ; ) {
    const before = received;
    try {
      const response = await requestFrom(registry, blob, received);
      let skip = response.status === 200 ? received : 0; // a server without ranges starts anew
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        const fresh = skip === 0 ? chunk : chunk.subarray(skip);
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        received += fresh.length;
        if (received > blob.size) throw sizeMismatch(blob, `more than ${blob.size} bytes`);
        yield fresh;
      }
      if (received === blob.size) return;
      throw new TransientError(sizeMismatch(blob, `${received} bytes`));
    } catch (error) {
      const problem = asTransient(registry, error);
      fruitless = received > before ? 1 : fruitless + 1;
      if (fruitless > attemptsOf(registry.retry)) throw problem.final;
      await pause(registry.retry, fruitless, problem);
    }
  }
}

async function requestFrom(registry: Registry, blob: Descriptor, start: number): Promise<HttpResponse> {
  const headers: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` };
  const response = await registry.attempt(
    { method: 'GET', url: registry.url(`blobs/${blob.digest}`), headers },
    [200, 206],
  );
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
  const response = await registry.send({ method: 'HEAD', url: registry.url(`blobs/${blob.digest}`) }, [200, 404]);
  await drain(response);
  const length = response.headers['content-length'];
  return response.status === 200 && (length === undefined || Number(length) === blob.size);
}
