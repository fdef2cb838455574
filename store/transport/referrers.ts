// What refers to an image in its registry: signatures, bills of materials, attestations with a `subject`. Registries list
// them; for those that don't, clients keep an index under the tag 'sha256-<digest>'.
// @see OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema"
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { sha256 } from '../image/resolve.js';
import { canonicalJson, maxDocumentBytes } from '../image/strict-json.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import { readBody, requireSafeTarget } from './http-client.js';
import { drain, type Registry } from './registry-client.js';
import { fetchManifest } from './registry-fetch.js';
import { withRetries } from './retry.js';

export interface Referrers {
  readonly manifests: readonly Descriptor[];
  /** Who keeps the list. */
  readonly from: 'api' | 'tag';
}

const maxPages = 100;

/**
 * @param artifactType only those of this type
 * @throws StoreError REGISTRY_*, IMAGE_*
 */
export async function listReferrers(registry: Registry, digest: Digest, artifactType?: string): Promise<Referrers> {
  const listed = await askApi(registry, digest, artifactType);
  const all = listed ?? (await readTag(registry, digest));
  const manifests = artifactType === undefined ? all : all.filter((each) => each.artifactType === artifactType);
  return { manifests, from: listed === null ? 'tag' : 'api' };
}

/** Null where the registry does not know the question. */
async function askApi(registry: Registry, digest: Digest, artifactType?: string): Promise<Descriptor[] | null> {
  const found = new Map<Digest, Descriptor>();
  let url = registry.url(`referrers/${digest}`);
  if (artifactType !== undefined) url.searchParams.set('artifactType', artifactType);
  for (let page = 0; page < maxPages; page += 1) {
    const headers = { accept: mediaTypes.ociIndex };
    const { response, bytes } = await withRetries(registry.retry, async () => {
      const answer = await registry.attempt({ method: 'GET', url, headers }, [200, 400, 404, 405, 501]);
      return { response: answer, bytes: answer.status === 200 ? await readBody(answer, maxDocumentBytes) : null };
    });
    if (bytes === null) {
      await drain(response);
      return null;
    }
    for (const entry of entriesOf(bytes, `the list of referrers of ${digest}`)) found.set(entry.digest, entry);
    const next = /<([^>]+)>\s*;[^,]*\brel="?next"?/.exec(String(response.headers.link ?? ''))?.[1];
    if (next === undefined) return [...found.values()];
    if (!URL.canParse(next, url.href)) break;
    url = new URL(next, url);
    requireSafeTarget(registry.origin, url);
  }
  throw new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry.name} lists what refers to ${digest} without end`,
  });
}

function entriesOf(bytes: Buffer, what: string): readonly Descriptor[] {
  const document = parseImageDocument(bytes, what, mediaTypes.ociIndex);
  if (document.kind === 'index') return document.index.manifests;
  throw new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${what} is no index` });
}

function referrersTag(digest: Digest): string {
  return digest.replace(':', '-');
}

async function readTag(registry: Registry, digest: Digest): Promise<readonly Descriptor[]> {
  try {
    const { bytes } = await fetchManifest(registry, referrersTag(digest));
    return entriesOf(bytes, `${registry.name}/${registry.repository}:${referrersTag(digest)}`);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'REGISTRY_NOT_FOUND') return [];
    throw error;
  }
}

/** The subject of a manifest, and what a list says of the manifest; null where it has none. */
export function referrerOf(bytes: Buffer, mediaType: string): { subject: Digest; entry: Descriptor } | null {
  // Nearly all have none: they are not parsed for it.
  if (!bytes.includes('"subject"')) return null;
  const document = parseImageDocument(bytes, 'the manifest', mediaType);
  const fields = (document.kind === 'manifest' ? document.manifest : document.index) as {
    readonly subject?: { readonly digest?: unknown };
    readonly artifactType?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  const subject = fields.subject?.digest;
  if (typeof subject !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(subject)) return null;
  const config = document.kind === 'manifest' ? document.manifest.config.mediaType : undefined;
  const artifactType = fields.artifactType || config;
  const entry: Descriptor = {
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(fields.annotations && { annotations: fields.annotations }),
  };
  return { subject: subject as Digest, entry };
}

const rounds = 8;

/**
 * Adds an entry to the list under the tag. Others may do so at the same time, and registries know no comparing exchange: it
 * is read again afterwards, and written again if somebody's list without the entry has won.
 *
 * @param put stores an index under a tag
 */
export async function addToReferrersTag(
  registry: Registry,
  subject: Digest,
  entry: Descriptor,
  put: (tag: string, bytes: Buffer) => Promise<unknown>,
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const known = await readTag(registry, subject);
    if (known.some(({ digest }) => digest === entry.digest)) return;
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...known, entry] };
    await put(referrersTag(subject), canonicalJson(index));
    // Who has read the list before that write has written by then.
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100 * (round + 1)));
  }
  throw new StoreError('REGISTRY_ANSWER_INVALID', {
    message: `${registry.name}/${registry.repository}:${referrersTag(subject)} does not keep what refers to ${subject}`,
    hint: 'the manifest itself was pushed; others write that list at the same time: push it again',
  });
}
