// Requests that send blobs. @see OCI distribution-spec v1.1, "Pushing blobs"
import { existsSync } from 'node:fs';
import type { Digest } from '../words.js';
import { parseDigest } from '../words.js';
import { readBody } from './body.js';
import { RequestError, readOnly } from './errors.js';
import { answer, type Exchange, requireMethod, whileClientWaits } from './exchange.js';
import { quotaExceeded } from './quota.js';
import { parseContentRange } from './range.js';
import type { Repository } from './repository-names.js';
import type { Upload } from './uploads.js';

/** POST …/blobs/uploads/: a new upload, a blob in one request, or one of another repository's. */
export async function startUpload(exchange: Exchange, repository: Repository): Promise<void> {
  requireMethod(exchange, 'POST');
  requireWritable(exchange);
  const { registry, query } = exchange;
  const mount = query.get('mount');
  if (mount !== null && mountBlob(exchange, repository, parseDigest(mount)))
    return created(exchange, repository, parseDigest(mount));
  const whole = query.get('digest');
  const digest = whole === null ? null : parseUploadDigest(whole);
  if (query.get('digest-algorithm') !== null && query.get('digest-algorithm') !== 'sha256') throw otherAlgorithm();
  checkAnnounced(exchange, repository, 0);
  const upload = registry.uploads.begin(repository.key);
  if (digest === null) return tell(exchange, repository, upload, 202);
  try {
    await registry.uploads.exclusively(upload, repository.key, (held) => finish(exchange, repository, held, digest));
  } catch (error) {
    registry.uploads.cancel(upload); // nobody knows its id
    throw error;
  }
}

/** …/blobs/uploads/<id> */
export async function continueUpload(exchange: Exchange, repository: Repository, id: string): Promise<void> {
  requireMethod(exchange, 'GET', 'PATCH', 'PUT', 'DELETE');
  requireWritable(exchange);
  const { registry, method, query, request } = exchange;
  const { uploads } = registry;
  const found = uploads.find(id, repository.key);
  if (method === 'GET') return tell(exchange, repository, found, 204);
  const digest = method === 'PUT' ? parseUploadDigest(query.get('digest') ?? '') : null;
  await uploads.exclusively(found, repository.key, async (upload) => {
    if (method === 'DELETE') {
      uploads.cancel(upload);
      return answer(exchange, 204, {});
    }
    const range = parseContentRange(request.headers['content-range']);
    checkAnnounced(exchange, repository, upload.size);
    if (range !== null) requireNext(exchange, repository, upload, range);
    if (digest !== null) return finish(exchange, repository, upload, digest);
    const size = await append(exchange, repository, upload);
    tell(exchange, repository, { id: upload.id, size }, 202);
  });
}

/** A client that is behind or ahead is told where it should go on. */
function requireNext(
  exchange: Exchange,
  repository: Repository,
  upload: Upload,
  { start, end }: { readonly start: number; readonly end: number },
): void {
  const length = exchange.request.headers['content-length'];
  const isWhole = length === undefined || Number(length) === end - start + 1;
  if (start === upload.size && isWhole) return;
  const words = isWhole
    ? `the upload has ${upload.size} bytes, the chunk begins at ${start}`
    : `Content-Range tells of ${end - start + 1} bytes, Content-Length of ${length}`;
  throw new RequestError(416, 'BLOB_UPLOAD_INVALID', words, placeOf(repository, upload));
}

async function finish(exchange: Exchange, repository: Repository, upload: Upload, digest: Digest): Promise<void> {
  const { registry } = exchange;
  const size = await append(exchange, repository, upload);
  const keepUntilMs = Date.now() + registry.keepUnreferencedMs;
  await whileClientWaits(exchange, () =>
    registry.uploads.finish({ id: upload.id, size }, digest, () =>
      registry.store.database.repositories.putBlob(repository.key, digest, keepUntilMs),
    ),
  );
  registry.wrote();
  created(exchange, repository, digest);
}

async function append(exchange: Exchange, repository: Repository, upload: Upload): Promise<number> {
  const { registry } = exchange;
  const room = registry.quota.room(repository);
  let size = upload.size;
  return registry.uploads.append(upload, readBody(exchange), (bytes) => {
    size += bytes;
    if (size > registry.maxBlobBytes) throw tooLarge(registry.maxBlobBytes);
    if (size - upload.size > room.bytes) throw quotaExceeded(room);
  });
}

/** What can't be taken is refused before it comes. */
function checkAnnounced({ registry, request }: Exchange, repository: Repository, offset: number): void {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (offset + announced > registry.maxBlobBytes) throw tooLarge(registry.maxBlobBytes);
  registry.quota.require(announced, repository);
}

/** True if the client may have the blob in this repository from now on. Without `from`, any repository that it may read will do. */
function mountBlob(exchange: Exchange, repository: Repository, digest: Digest): boolean {
  const { registry, query } = exchange;
  const { holdings, names, store } = registry;
  const from = query.get('from');
  const sources =
    from !== null
      ? [names.repository(from)]
      : store.database.repositories.repositoriesWithBlob(digest).flatMap((key) => {
          const name = names.nameOfKey(key);
          return name === null ? [] : [names.repository(name)];
        });
  const readable = sources.filter((source) => exchange.may('pull', source));
  if (!readable.some((source) => holdings.hasBlob(source, digest))) return false;
  const file = holdings.file(digest);
  if (file === null) return false;
  if (!holdings.hasBlob(repository, digest)) registry.quota.require(file.size, repository);
  const keepUntilMs = Date.now() + registry.keepUnreferencedMs;
  return store.database.transaction(() => {
    // The collector comes before this, and has taken the blob, or after it, and leaves it.
    if (holdings.file(digest) === null || !existsSync(file.path)) return false;
    store.database.repositories.putBlob(repository.key, digest, keepUntilMs);
    return true;
  });
}

function created(exchange: Exchange, { name }: Repository, digest: Digest): void {
  answer(exchange, 201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
}

function tell(exchange: Exchange, repository: Repository, upload: Upload, status: number): void {
  answer(exchange, status, placeOf(repository, upload));
}

function placeOf({ name }: Repository, { id, size }: Upload): Record<string, string> {
  return {
    location: `/v2/${name}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, size - 1)}`,
    'docker-upload-uuid': id,
  };
}

function parseUploadDigest(text: string): Digest {
  if (/^sha(384|512):/.test(text)) throw otherAlgorithm();
  return parseDigest(text);
}

function otherAlgorithm(): RequestError {
  return new RequestError(400, 'DIGEST_INVALID', 'this registry keeps content under sha256 digests only');
}

function tooLarge(maxBytes: number): RequestError {
  return new RequestError(413, 'SIZE_INVALID', `a blob may have ${maxBytes} bytes at most`);
}

function requireWritable({ registry }: Exchange): void {
  if (registry.readOnly) throw readOnly();
}
