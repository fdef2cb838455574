// Manifests, indexes and configs from outside: their bytes → checked values. Unknown fields are kept, known ones have
// the types that words.ts says.
import { StoreError } from '../errors.js';
import {
  type Descriptor,
  type HistoryEntry,
  type ImageConfig,
  type ImageIndex,
  type Manifest,
  mediaTypes,
  parseDiffId,
  parseDigest,
} from '../words.js';
import { parseStrictJson } from './strict-json.js';

export type ImageDocument =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly index: ImageIndex };

type Fields = Readonly<Record<string, unknown>>;

const maxIndexEntries = 1000;
const maxLayers = 2000;

/**
 * @param declaredType the media type that a descriptor or a Content-Type header gave; it must be the document's own
 * @throws StoreError IMAGE_DOCUMENT_INVALID, IMAGE_AMBIGUOUS (layers and manifests in one, CVE-2021-41190), IMAGE_SCHEMA1
 */
export function parseImageDocument(bytes: Uint8Array, what: string, declaredType?: string): ImageDocument {
  const fields = object(parseStrictJson(bytes, what), what);
  if (fields.schemaVersion === 1) {
    throw new StoreError('IMAGE_SCHEMA1', {
      message: `${what} is of Docker's schema 1, which has been out of use since 2017`,
      hint: 'push the image again with a current tool (docker, skopeo, buildah), which converts it',
    });
  }
  if (fields.schemaVersion !== 2) throw invalid(what, 'has no schemaVersion 2');
  const isManifest = 'config' in fields || 'layers' in fields || 'fsLayers' in fields;
  if (isManifest && 'manifests' in fields) {
    throw new StoreError('IMAGE_AMBIGUOUS', {
      message: `${what} has both layers and manifests: it can be read as two images`,
    });
  }
  checkMediaType(fields, what, isManifest ? manifestTypes : indexTypes, declaredType);
  return isManifest
    ? { kind: 'manifest', manifest: manifestOf(fields, what) }
    : { kind: 'index', index: indexOf(fields, what) };
}

/** @throws StoreError IMAGE_CONFIG_INVALID, IMAGE_HISTORY_MISMATCH; those of parseStrictJson */
export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  const fields = object(parseStrictJson(bytes, what), what);
  for (const name of ['architecture', 'os'] as const) {
    if (typeof fields[name] !== 'string' || fields[name] === '') throw badConfig(what, `has no ${name}`);
    platformWord(fields[name], `${name} of ${what}`);
  }
  for (const name of ['variant', 'created', 'author', 'os.version'] as const) {
    if (fields[name] !== undefined && typeof fields[name] !== 'string')
      throw badConfig(what, `has a ${name} that is no string`);
  }
  const rootfs = object(fields.rootfs, `rootfs of ${what}`);
  if (rootfs.type !== 'layers') throw badConfig(what, "has a rootfs of another type than 'layers'");
  // Go writes null for an empty list.
  const diffIds = list(rootfs.diff_ids ?? [], `diff_ids of ${what}`).map((id) =>
    parseDiffId(text(id, `diff_ids of ${what}`)),
  );
  if (diffIds.length > maxLayers) throw badConfig(what, `has more than ${maxLayers} layers`);
  const { config, history, ...rest } = fields;
  const entries = historyOf(history, what, diffIds.length);
  return {
    ...(rest as unknown as ImageConfig),
    ...(config != null && { config: checkRunConfig(config, what) }),
    ...(entries !== null && { history: entries }),
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
}

/** @throws StoreError IMAGE_LAYERS_MISMATCH */
export function requireSameLayerCount(manifest: Manifest, config: ImageConfig, what: string): void {
  if (manifest.layers.length === config.rootfs.diff_ids.length) return;
  throw new StoreError('IMAGE_LAYERS_MISMATCH', {
    message: `${what} lists ${manifest.layers.length} layers, its config ${config.rootfs.diff_ids.length}`,
    hint: 'the image is broken at its source, or no container image; build or push it again',
  });
}

const manifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerIndex];

function checkMediaType(fields: Fields, what: string, accepted: readonly string[], declared: string | undefined): void {
  const own = fields.mediaType;
  if (own !== undefined && (typeof own !== 'string' || !accepted.includes(own))) {
    throw invalid(what, `has the content of another media type than its ${shown(own)}`);
  }
  // Registries and old layouts say something generic at times ('application/json'); only a contradiction is refused.
  const known = [...manifestTypes, ...indexTypes];
  if (declared === undefined || !known.includes(declared)) return;
  if (!accepted.includes(declared) || (own !== undefined && own !== declared)) {
    throw invalid(what, `was announced as ${declared} but is ${own === undefined ? 'something else' : shown(own)}`);
  }
}

function manifestOf(fields: Fields, what: string): Manifest {
  const config = descriptor(fields.config, `config of ${what}`);
  const layers = list(fields.layers, `layers of ${what}`).map((layer, i) =>
    descriptor(layer, `layer ${i + 1} of ${what}`),
  );
  if (layers.length > maxLayers) throw invalid(what, `has more than ${maxLayers} layers`);
  return { ...(fields as unknown as Manifest), config, layers };
}

function indexOf(fields: Fields, what: string): ImageIndex {
  const entries = list(fields.manifests, `manifests of ${what}`);
  if (entries.length > maxIndexEntries) throw invalid(what, `lists more than ${maxIndexEntries} images`);
  const manifests = entries.map((entry, i) => descriptor(entry, `entry ${i + 1} of ${what}`));
  return { ...(fields as unknown as ImageIndex), manifests };
}

/** @throws StoreError IMAGE_DOCUMENT_INVALID, DIGEST_INVALID (before the digest can become a path) */
function descriptor(value: unknown, what: string): Descriptor {
  const fields = object(value, what);
  const digest = parseDigest(text(fields.digest, `digest of the ${what}`));
  const size = fields.size;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(what, 'has no valid size');
  if (fields.annotations != null) stringMap(fields.annotations, `annotations of the ${what}`);
  if (fields.platform != null) {
    const platform = object(fields.platform, `platform of the ${what}`);
    for (const name of ['os', 'architecture', 'variant'] as const) {
      if (name !== 'variant' || platform.variant !== undefined) platformWord(platform[name], `${name} of the ${what}`);
    }
  }
  return {
    ...(fields as unknown as Descriptor),
    mediaType: text(fields.mediaType, `mediaType of the ${what}`),
    digest,
    size,
  };
}

/** Null and absent are the same: Go writes null for empty lists and maps. */
function checkRunConfig(value: unknown, what: string): NonNullable<ImageConfig['config']> {
  const fields = object(value, `config of ${what}`);
  const kept = Object.fromEntries(Object.entries(fields).filter(([, item]) => item !== null));
  for (const [name, item] of Object.entries(kept)) {
    const label = `${name} of ${what}`;
    if (textFields.has(name)) text(item, label);
    else if (listFields.has(name)) for (const entry of list(item, label)) text(entry, label);
    else if (name === 'Labels') stringMap(item, label);
    else if (name === 'ExposedPorts' || name === 'Volumes' || name === 'Healthcheck') object(item, label);
  }
  return kept;
}

const textFields: ReadonlySet<string> = new Set(['User', 'WorkingDir', 'StopSignal']);
const listFields: ReadonlySet<string> = new Set(['Env', 'Entrypoint', 'Cmd', 'OnBuild', 'Shell']);

/**
 * History may say less than there are layers (tools that append layers leave it out), never more: it would give a
 * layer's origin to another one.
 */
function historyOf(value: unknown, what: string, layers: number): HistoryEntry[] | null {
  if (value == null) return null;
  const entries = list(value, `history of ${what}`).map((entry) => object(entry, `history of ${what}`));
  const made = entries.filter((entry) => entry.empty_layer !== true).length;
  if (made > layers) {
    throw new StoreError('IMAGE_HISTORY_MISMATCH', {
      message: `the history of ${what} tells of ${made} layers, it has ${layers}`,
    });
  }
  return entries as HistoryEntry[];
}

function object(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what, 'is no JSON object');
  return value as Fields;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(what, 'is no list');
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw invalid(what, 'is no string');
  return value;
}

/** Shown and compared as it is: one word, nothing that a terminal would obey. */
function platformWord(value: unknown, what: string): void {
  if (!/^[\w.+-]{0,64}$/.test(text(value, what))) throw invalid(what, 'is no name');
}

function stringMap(value: unknown, what: string): void {
  for (const item of Object.values(object(value, what))) text(item, what);
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 120);
}

function invalid(what: string, problem: string): StoreError {
  return new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${what} ${problem}` });
}

function badConfig(what: string, problem: string): StoreError {
  return new StoreError('IMAGE_CONFIG_INVALID', { message: `${what} ${problem}` });
}
