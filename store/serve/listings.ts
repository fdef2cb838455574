// Lists: tags of a repository, repositories, what is about a manifest. @see OCI distribution-spec v1.1, "Listing Tags", "Listing Referrers"
import { parseImageDocument } from '../image/document.js';
import { type Descriptor, type Digest, mediaTypes, parseDigest } from '../words.js';
import { RequestError } from './errors.js';
import { answerJson, type Exchange, type Headers, requireMethod } from './exchange.js';
import type { Repository } from './repository-names.js';

const mostReferrers = 1000;

export function tagList(exchange: Exchange, repository: Repository): void {
  requireMethod(exchange, 'GET');
  const { holdings } = exchange.registry;
  if (!holdings.exists(repository))
    throw new RequestError(404, 'NAME_UNKNOWN', `there is no repository ${repository.name}`);
  const tags = [...holdings.tags(repository).keys()].sort();
  const { page, headers } = pageOf(exchange, tags, `/v2/${repository.name}/tags/list`);
  answerJson(exchange, { name: repository.name, tags: page }, headers);
}

/** @param mayList what the client may know of */
export function catalog(exchange: Exchange, mayList: (repository: Repository) => boolean): void {
  requireMethod(exchange, 'GET');
  const { names, store } = exchange.registry;
  const found = new Set<string>();
  for (const { reference } of store.database.tags()) add(found, names.nameOf(reference));
  for (const key of store.database.repositories.repositories()) add(found, names.nameOfKey(key));
  const readable = [...found].filter((name) => mayList(names.repository(name))).sort();
  const { page, headers } = pageOf(exchange, readable, '/v2/_catalog');
  answerJson(exchange, { repositories: page }, headers);
}

function add(names: Set<string>, name: string | null): void {
  if (name !== null) names.add(name);
}

/** What comes after `last`, `n` of it; a link to what comes then. */
function pageOf({ query }: Exchange, sorted: readonly string[], path: string): { page: string[]; headers: Headers } {
  const last = query.get('last');
  const n = query.get('n');
  if (n !== null && !/^\d{1,9}$/.test(n)) throw new RequestError(400, 'UNSUPPORTED', 'n is a number');
  const rest = last === null ? [...sorted] : sorted.filter((each) => each > last);
  if (n === null || Number(n) >= rest.length) return { page: rest, headers: {} };
  const page = rest.slice(0, Number(n));
  if (page.length === 0) return { page, headers: {} };
  const next = new URLSearchParams({ n, last: page.at(-1)! });
  return { page, headers: { link: `<${path}?${next}>; rel="next"` } };
}

export async function referrers(exchange: Exchange, repository: Repository, reference: string): Promise<void> {
  requireMethod(exchange, 'GET');
  const { registry, query } = exchange;
  const subject = parseDigest(reference);
  const type = query.get('artifactType');
  const last = query.get('last') ?? '';
  const about = registry.store.database.repositories
    .referrers(repository.key, subject)
    .filter((digest) => digest > last);
  const manifests: Descriptor[] = [];
  for (const digest of about.slice(0, mostReferrers)) {
    const described = await describe(exchange, digest);
    if (described !== null && (type === null || described.artifactType === type)) manifests.push(described);
  }
  const next = new URLSearchParams({
    ...(type !== null && { artifactType: type }),
    last: about[mostReferrers - 1] ?? '',
  });
  answerJson(
    exchange,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    {
      'content-type': mediaTypes.ociIndex,
      ...(type !== null && { 'oci-filters-applied': 'artifactType' }),
      ...(about.length > mostReferrers && {
        link: `</v2/${repository.name}/referrers/${subject}?${next}>; rel="next"`,
      }),
    },
  );
}

/** Null where it is gone. */
async function describe({ registry: { holdings } }: Exchange, digest: Digest): Promise<Descriptor | null> {
  if (holdings.file(digest) === null) return null;
  const bytes = await holdings.document(digest);
  const document = parseImageDocument(bytes, digest);
  const isIndex = document.kind === 'index';
  const { mediaType, artifactType, annotations } = (isIndex ? document.index : document.manifest) as {
    mediaType?: string;
    artifactType?: string;
    annotations?: Record<string, string>;
  };
  const type = artifactType || (isIndex ? undefined : document.manifest.config.mediaType);
  return {
    mediaType: mediaType ?? (isIndex ? mediaTypes.ociIndex : mediaTypes.ociManifest),
    digest,
    size: bytes.length,
    ...(type !== undefined && { artifactType: type }),
    ...(annotations && { annotations }),
  };
}
