// Requests for manifests. @see OCI distribution-spec v1.1, "Pulling manifests", "Pushing Manifests", "Deleting Tags"
import { putBlob } from '../content/blob.js';
import { openLease } from '../content/lease.js';
import { deleteTag, setTag } from '../content/tags.js';
import { type ImageDocument, parseImageDocument } from '../image/document.js';
import { sha256 } from '../image/resolve.js';
import { maxDocumentBytes } from '../image/strict-json.js';
import type { Lease } from '../types.js';
import { type Descriptor, type Digest, parseDigest } from '../words.js';
import { isKnown } from './blob-requests.js';
import { readDocument } from './body.js';
import { RequestError, readOnly } from './errors.js';
import { answer, type Exchange, requireMethod, whileClientWaits } from './exchange.js';
import { looksLikeImage, makePushedImage } from './pushed-image.js';
import type { Repository } from './repository-names.js';

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const mostTagsAtOnce = 100;

export async function manifestRequest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  requireMethod(exchange, 'GET', 'HEAD', 'PUT', 'DELETE');
  const { method, registry } = exchange;
  if (method === 'GET' || method === 'HEAD') return getManifest(exchange, repository, reference);
  if (registry.readOnly) throw readOnly();
  if (method === 'PUT') return putManifest(exchange, repository, reference);
  return deleteManifest(exchange, repository, reference);
}

async function getManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  const { registry, request } = exchange;
  const { forms, holdings } = registry;
  const tagged = isDigest(reference) ? null : holdings.tag(repository, reference);
  const found = isDigest(reference)
    ? await forms.byDigest(repository, parseDigest(reference))
    : tagged && (await forms.byTag(tagged));
  if (found === null) throw unknownManifest(registry.holdings.exists(repository), repository, reference);
  const { digest, bytes, mediaType } = found;
  const headers = { 'docker-content-digest': digest, etag: `"${digest}"`, 'content-type': mediaType };
  if (isKnown(request.headers['if-none-match'], digest)) return answer(exchange, 304, headers);
  answer(exchange, 200, headers, bytes);
}

async function putManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  const { registry, query, request } = exchange;
  const { store, holdings } = registry;
  const bytes = await readDocument(exchange, maxDocumentBytes);
  const digest = sha256(bytes);
  if (isDigest(reference) && parseDigest(reference) !== digest) {
    throw new RequestError(400, 'DIGEST_INVALID', `the manifest has the digest ${digest}`);
  }
  const tags = isDigest(reference) ? query.getAll('tag') : [reference];
  for (const tag of tags) requireTag(tag);
  if (tags.length > mostTagsAtOnce) throw invalid(`more than ${mostTagsAtOnce} tags at once`);
  const declared = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
  const document = parseImageDocument(bytes, 'the manifest', declared);
  const subject = subjectOf(document);
  requireParts(exchange, repository, document);
  registry.quota.require(holdings.hasManifest(repository, digest) ? 0 : bytes.length, repository);

  const lease = await openLease(store, `push to ${repository.name}`);
  try {
    await whileClientWaits(exchange, () => keep(exchange, lease, repository, document, bytes));
    const keepUntilMs = Date.now() + registry.keepUnreferencedMs;
    store.database.repositories.putManifest({ repository: repository.key, digest, subject, keepUntilMs });
    for (const tag of tags) setTag(store, `${repository.key}:${tag}`, digest);
  } finally {
    await lease.release();
  }
  registry.wrote();
  answer(exchange, 201, {
    location: `/v2/${repository.name}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(subject !== null && { 'oci-subject': subject }),
    ...(isDigest(reference) && tags.length > 0 && { 'oci-tag': tags.join(', ') }),
  });
}

async function keep(
  { registry }: Exchange,
  lease: Lease,
  repository: Repository,
  document: ImageDocument,
  bytes: Buffer,
): Promise<void> {
  const { store, quota } = registry;
  if (document.kind === 'manifest' && looksLikeImage(document.manifest)) {
    const room = quota.room(repository).bytes;
    const maxBytes = Number.isFinite(room) ? Math.max(0, room) : undefined;
    const problem = await makePushedImage(store, lease, document.manifest, bytes, maxBytes);
    if (problem === null) return;
    if (problem.code === 'LAYER_TOO_LARGE' && maxBytes !== undefined)
      quota.require(Number.MAX_SAFE_INTEGER, repository);
    registry.notice(`${repository.name}@${sha256(bytes)} can't be run, it is kept as it is: ${problem.message}`);
  }
  await putBlob(store, lease, bytes);
}

/** What a manifest names must be in the repository: by naming it, nobody gets what is another repository's. */
function requireParts({ registry: { holdings } }: Exchange, repository: Repository, document: ImageDocument): void {
  if (document.kind === 'index') {
    for (const { digest, size } of document.index.manifests) {
      const file = holdings.hasManifest(repository, digest) ? holdings.file(digest) : null;
      requirePart(file?.size ?? null, digest, size);
    }
    return;
  }
  const { config, layers } = document.manifest;
  for (const part of [config, ...layers]) {
    const file = holdings.hasBlob(repository, part.digest) ? holdings.file(part.digest) : null;
    if (file === null && isElsewhere(part)) continue;
    requirePart(file?.size ?? null, part.digest, part.size);
  }
}

function requirePart(found: number | null, digest: Digest, size: number): void {
  if (found === null)
    throw new RequestError(400, 'MANIFEST_BLOB_UNKNOWN', `${digest} is not in this repository: push it first`);
  if (found !== size) throw invalid(`it gives ${digest} ${size} bytes, that has ${found}`, 'SIZE_INVALID');
}

/** Layers whose bytes registries need not have. @see OCI image-spec v1.1, layer.md "Non-Distributable Layers" */
function isElsewhere({ mediaType }: Descriptor): boolean {
  return /\.layer\.nondistributable\.v1\.|\.rootfs\.foreign\.diff\./.test(mediaType);
}

function subjectOf(document: ImageDocument): Digest | null {
  const fields = document.kind === 'index' ? document.index : document.manifest;
  const subject: unknown = 'subject' in fields ? fields.subject : undefined;
  if (subject === undefined || subject === null) return null;
  const { digest } = subject as { digest?: unknown };
  if (typeof digest !== 'string') throw invalid('its subject has no digest');
  return parseDigest(digest);
}

async function deleteManifest(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  const { registry } = exchange;
  const { store, holdings } = registry;
  const tags = [...holdings.tags(repository)];
  if (!isDigest(reference)) {
    requireTag(reference);
    // In every spelling: what is deleted must not come back from under another one.
    const deleted = repository.spellings.map((spelling) => deleteTag(store, `${spelling}:${reference}`));
    if (!deleted.includes(true)) throw unknownManifest(holdings.exists(repository), repository, reference);
    return answer(exchange, 202, {});
  }
  const digest = parseDigest(reference);
  if (!holdings.hasManifest(repository, digest))
    throw unknownManifest(holdings.exists(repository), repository, reference);
  if (holdings.isInIndex(repository, digest)) {
    throw new RequestError(405, 'DENIED', `an index in ${repository.name} refers to ${digest}: delete that first`);
  }
  for (const [, held] of tags) if (held.digest === digest) deleteTag(store, held.reference);
  store.database.repositories.deleteManifest(repository.key, digest);
  answer(exchange, 202, {});
}

function isDigest(reference: string): boolean {
  return reference.includes(':');
}

function requireTag(tag: string): void {
  if (tagPattern.test(tag)) return;
  throw invalid(`${JSON.stringify(tag.slice(0, 150))} is no tag`);
}

function unknownManifest(repositoryExists: boolean, { name }: Repository, reference: string): RequestError {
  if (!repositoryExists) return new RequestError(404, 'NAME_UNKNOWN', `there is no repository ${name}`);
  return new RequestError(404, 'MANIFEST_UNKNOWN', `${name} has no manifest ${reference.slice(0, 150)}`);
}

function invalid(words: string, code: 'MANIFEST_INVALID' | 'SIZE_INVALID' = 'MANIFEST_INVALID'): RequestError {
  return new RequestError(400, code, words);
}
