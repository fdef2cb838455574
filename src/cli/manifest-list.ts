// What the manifest commands share: a list is an index in the store, under a name.

import type { Command } from 'commander';
import {
  type Descriptor,
  type Digest,
  familiarName,
  findImage,
  type ImageSource,
  isAttestation,
  putIndex,
  readIndex,
  type Store,
  type StoredIndex,
  StoreError,
  tagImage,
} from '#store';
import { type Cli, collect, UsageError } from './cli.js';
import { parseAddress } from './image-address.js';
import { type Ends, type OpenOptions, openSource } from './open-address.js';
import { findNamed } from './open-image.js';
import { underLease } from './under-lease.js';

/** @throws StoreError IMAGE_NOT_FOUND, MANIFEST_NO_LIST */
export async function openList(store: Store, name: string): Promise<{ reference: string; index: StoredIndex }> {
  const found = await findNamed(store, name);
  const index = await readIndex(store, found.digest);
  if (index !== null && found.name !== null) return { reference: found.name, index };
  throw new StoreError('MANIFEST_NO_LIST', {
    message: index === null ? `${name} is one image, not a list of them` : `${name} is a list, given by its digest`,
    hint:
      index === null
        ? 'tsbuild manifest create NAME IMAGE… makes a list'
        : 'name it: a changed list has another digest',
  });
}

/** Gives the list's name to a changed one. @returns its digest */
export async function changeList(
  cli: Cli,
  store: Store,
  { reference, index }: { readonly reference: string; readonly index: StoredIndex },
  change: {
    readonly manifests?: readonly Descriptor[];
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  },
): Promise<Digest> {
  return underLease(cli, store, `change of ${familiarName(reference)}`, async (lease) => {
    const { manifests = index.index.manifests, annotations = index.index.annotations ?? {} } = change;
    const { descriptor } = await putIndex(store, lease, { manifests, annotations });
    tagImage(store, reference, descriptor.digest);
    return descriptor.digest;
  });
}

/**
 * The entry that a person means: by (the start of) its digest, by the name of an image of the store, or by 'os/arch'.
 *
 * @throws StoreError MANIFEST_NO_ENTRY
 */
export function entryNamed(store: Store, list: string, index: StoredIndex, text: string): Descriptor {
  const { manifests } = index.index;
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1];
  const byDigest = hex === undefined ? [] : manifests.filter(({ digest }) => digest.startsWith(`sha256:${hex}`));
  const byPlatform = manifests.filter(
    ({ platform }) =>
      platform && [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/') === text,
  );
  const found = byDigest.length > 0 ? byDigest : byPlatform.length > 0 ? byPlatform : byName(store, manifests, text);
  if (found.length === 1) return found[0]!;
  const offered = manifests
    .filter((entry) => !isAttestation(entry))
    .map(
      ({ digest, platform }) => `${digest.slice(7, 19)}${platform ? ` (${platform.os}/${platform.architecture})` : ''}`,
    );
  throw new StoreError('MANIFEST_NO_ENTRY', {
    message: found.length > 1 ? `${text} stands for ${found.length} images of ${list}` : `${list} has no image ${text}`,
    hint: offered.length > 0 ? `it has ${offered.slice(0, 12).join(', ')}` : 'it is empty',
  });
}

function byName(store: Store, manifests: readonly Descriptor[], text: string): Descriptor[] {
  try {
    const { digest } = findImage(store, text);
    return manifests.filter((entry) => entry.digest === digest);
  } catch (error) {
    if (error instanceof StoreError && /^(IMAGE_NOT_FOUND|REFERENCE_INVALID|IMAGE_AMBIGUOUS_ID)$/.test(error.code))
      return [];
    throw error;
  }
}

/** An image for a list. Names are those of the store, as everywhere; what is not there may be in a registry. */
export async function openPart(ends: Ends, text: string, options: OpenOptions): Promise<ImageSource> {
  const address = parseAddress(text);
  try {
    return await openSource(ends, address, options);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'IMAGE_NOT_FOUND' || address.transport !== 'store')
      throw error;
    throw new StoreError(error.code, {
      message: error.message,
      hint: `${error.hint ?? ''}; one of a registry is written docker://${text}`,
      cause: error,
    });
  }
}

/** What annotate and add say of an entry, in docker's and podman's options. */
export interface EntryFlags {
  readonly os?: string;
  readonly arch?: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
  readonly annotation?: readonly string[];
}

export function addEntryOptions(command: Command): void {
  command
    .option('--os <name>', 'operating system of the image')
    .option('--arch <name>', 'its architecture')
    .option('--variant <name>', "its architecture's variant")
    .option('--os-version <version>', 'version of its operating system')
    .option('--os-features <name,...>', 'features of it that the image needs', collect)
    .option('--annotation <key=value>', "annotation of the list's entry", collect);
}

/** @throws UsageError */
export function describer(flags: EntryFlags): (entry: Descriptor) => Descriptor {
  const annotations = annotationsOf(flags.annotation);
  const features = flags.osFeatures?.flatMap((text) => text.split(','));
  const said = {
    ...(flags.os !== undefined && { os: word('--os', flags.os) }),
    ...(flags.arch !== undefined && { architecture: word('--arch', flags.arch) }),
    ...(flags.variant !== undefined && { variant: word('--variant', flags.variant) }),
    ...(flags.osVersion !== undefined && { 'os.version': flags.osVersion }),
    ...(features !== undefined && { 'os.features': features }),
  };
  return (entry) => {
    if (isAttestation(entry)) return entry;
    const platform = { os: '', architecture: '', ...entry.platform, ...said };
    if (Object.keys(said).length > 0 && (platform.os === '' || platform.architecture === '')) {
      throw new UsageError('USAGE', {
        message: `${entry.digest} is for no known platform`,
        hint: 'say both --os and --arch',
      });
    }
    const all = { ...entry.annotations, ...annotations };
    return {
      ...entry,
      ...(Object.keys(said).length > 0 && { platform }),
      ...(Object.keys(all).length > 0 && { annotations: all }),
    };
  };
}

/** @throws UsageError */
export function annotationsOf(texts: readonly string[] = []): Readonly<Record<string, string>> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      throw new UsageError('USAGE', {
        message: `--annotation ${text}: there is no KEY=VALUE`,
        hint: 'write --annotation KEY=VALUE',
      });
    }),
  );
}

function word(option: string, text: string): string {
  if (/^[\w.+-]{1,64}$/.test(text)) return text;
  throw new UsageError('USAGE', {
    message: `${option} ${JSON.stringify(text)} is no name`,
    hint: `as in ${option} arm64`,
  });
}
