// Requests for blobs. @see OCI distribution-spec v1.1, "Pulling blobs", "Deleting Blobs"
import { type Digest, parseDigest } from '../words.js';
import { RequestError, readOnly } from './errors.js';
import { answer, type Exchange, requireMethod } from './exchange.js';
import type { Repository } from './repository-names.js';
import { sendFile } from './send-file.js';

export async function blobRequest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  requireMethod(exchange, 'GET', 'HEAD', 'DELETE');
  const { registry, request, method } = exchange;
  const digest = parseDigest(reference);
  if (method === 'DELETE') return deleteBlob(exchange, repository, digest);
  const file = registry.holdings.hasBlob(repository, digest) ? registry.holdings.file(digest) : null;
  if (file === null) throw unknownBlob(repository, digest);
  const headers = {
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'cache-control': 'max-age=31536000, immutable',
    'content-type': 'application/octet-stream',
  };
  if (isKnown(request.headers['if-none-match'], digest)) return answer(exchange, 304, headers);
  await sendFile(exchange, file, headers);
}

function deleteBlob(exchange: Exchange, repository: Repository, digest: Digest): void {
  const { registry } = exchange;
  if (registry.readOnly) throw readOnly();
  if (!registry.holdings.hasBlob(repository, digest)) throw unknownBlob(repository, digest);
  if (registry.holdings.needsBlob(repository, digest)) {
    throw new RequestError(405, 'DENIED', `manifests in ${repository.name} refer to ${digest}: delete them first`);
  }
  registry.store.database.repositories.deleteBlob(repository.key, digest);
  answer(exchange, 202, {});
}

function unknownBlob({ name }: Repository, digest: Digest): RequestError {
  return new RequestError(404, 'BLOB_UNKNOWN', `${name} has no blob ${digest}`);
}

export function isKnown(condition: string | undefined, digest: Digest): boolean {
  return condition?.split(',').some((each) => each.trim().replace(/^W\//, '') === `"${digest}"`) ?? false;
}
