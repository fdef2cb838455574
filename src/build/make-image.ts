// What was built → an image in the store, in the form that an output wants.
import {
  type Compression,
  type Descriptor,
  type DiffId,
  type ImageConfig,
  type Lease,
  parseReference,
  prepareImage,
  pushImage,
  pushIndex,
  putImage,
  putIndex,
  putManifest,
  readManifestBytes,
  type StoredImage,
  type StoredIndex,
  type TransferProgress,
} from '#store';
import type { Statement } from '../attest/index.js';
import { BuildError } from '../base/index.js';
import type { AnnotationPlace, ImageForm, ImageOutput } from './output.js';
import type { BuildIo } from './request.js';

/** What was built, as the outputs see it. */
export interface Result {
  readonly io: BuildIo;
  readonly lease: Lease;
  /** Layers of the image, base first. */
  stack(rewriteTimestamp: boolean): Promise<readonly DiffId[]>;
  config(stack: readonly DiffId[]): ImageConfig;
  /** SOURCE_DATE_EPOCH. */
  readonly epochSec: number | null;
  /** How many of the layers are the base's. */
  readonly baseLayers: number;
  /** What is attested about it. */
  readonly statements: (() => Promise<readonly Statement[]>) | null;
  /** It is listed in an index of images: because that was asked for, or something is attested. */
  readonly indexed: boolean;
}

export interface MadeImage {
  readonly image: StoredImage;
  readonly index: StoredIndex | undefined;
  /** What a list of images says of it. */
  readonly descriptor: Descriptor;
}

/** The image in the store, and sent where the output wants it. */
export async function makeImage(result: Result, output: ImageOutput): Promise<MadeImage> {
  const { form, names, push } = output;
  if (push === null) return storeImage(result, form, names, result.indexed ? 'gzip' : 'none');
  const [first, ...others] = names;
  if (first === undefined) {
    throw new BuildError('TAG_NEEDED', {
      message: 'tag is needed when pushing to registry',
      hint: 'name the image: -t REGISTRY/NAME:TAG, or name= of the output',
    });
  }
  const { io, lease } = result;
  const options = {
    compression: form.compression ?? 'gzip',
    level: form.level,
    types: form.types,
    plainHttp: push.plainHttp,
    onProgress: tell(result),
  };
  const plain = await plainImage(result, form);
  const keep = form.forceCompression ? undefined : new Set(baseOf(result, plain));
  const target = (name: string) => {
    const { tag: _, ...byDigest } = parseReference(name);
    return push.byDigest ? byDigest : parseReference(name);
  };
  const alone = !result.indexed;
  const { tag: _, ...untagged } = parseReference(first);
  const sent = await pushImage(io.store, lease, plain, alone ? target(first) : untagged, { ...options, keep });
  const image = await putManifest(io.store, lease, sent.manifest.bytes, sent.config);
  if (!alone) {
    const made = await attested(result, image, form, names);
    for (const name of names) await pushIndex(io.store, lease, made.index!, target(name), options);
    return made;
  }
  for (const name of others)
    await pushImage(io.store, lease, image, target(name), { ...options, compression: undefined });
  return attested(result, image, form, names);
}

/** The image in the store. @param usual the compression of its layers, where the form says none */
export async function storeImage(
  result: Result,
  form: ImageForm,
  names: readonly string[],
  usual: Compression,
): Promise<MadeImage> {
  const { io, lease } = result;
  const plain = await plainImage(result, form);
  const compression = form.compression ?? usual;
  if (compression === 'none' && form.types === 'oci') return attested(result, plain, form, names);
  const keep = form.forceCompression ? undefined : new Set(baseOf(result, plain));
  const choice = { compression, level: form.level, types: form.types, keep };
  const { manifest, config } = await prepareImage(io.store, lease, plain, choice, tell(result));
  return attested(result, await putManifest(io.store, lease, manifest.bytes, config), form, names);
}

async function plainImage(result: Result, form: ImageForm): Promise<StoredImage> {
  const stack = await result.stack(form.rewriteTimestamp);
  const annotations = notes(form, 'manifest');
  return putImage(result.io.store, result.lease, { config: result.config(stack), annotations });
}

function baseOf({ baseLayers }: Result, image: StoredImage): readonly DiffId[] {
  return image.config.rootfs.diff_ids.slice(0, baseLayers);
}

/** The image, in an index with what is attested about it, where there is to be one. */
async function attested(
  result: Result,
  image: StoredImage,
  form: ImageForm,
  names: readonly string[],
): Promise<MadeImage> {
  const { io, lease } = result;
  const own = notes(form, 'manifest-descriptor');
  const { os, architecture, variant } = image.config;
  const descriptor: Descriptor = {
    mediaType: image.manifest.mediaType!,
    digest: image.digest,
    size: (await readManifestBytes(io.store, image)).length,
    platform: { architecture, os, ...(variant && { variant }) },
    ...(Object.keys(own).length > 0 && { annotations: own }),
  };
  if (!result.indexed) return { image, index: undefined, descriptor };
  const about = result.statements === null ? [] : [await attach(result, image, form, names, descriptor)];
  const annotations = notes(form, 'index');
  const index = await putIndex(io.store, lease, { manifests: [descriptor, ...about], annotations });
  const listed = notes(form, 'index-descriptor');
  return {
    image,
    index,
    descriptor: { ...index.descriptor, ...(Object.keys(listed).length > 0 && { annotations: listed }) },
  };
}

async function attach(
  { io, lease, statements }: Result,
  image: StoredImage,
  form: ImageForm,
  names: readonly string[],
  descriptor: Descriptor,
): Promise<Descriptor> {
  const { attachStatements, subjectsOf } = await import('../attest/index.js');
  const subjects = subjectsOf(image.digest, names, image.config);
  return attachStatements(io.store, lease, descriptor, subjects, (await statements?.()) ?? [], form.artifact);
}

export function notes({ annotations }: ImageForm, place: AnnotationPlace): Readonly<Record<string, string>> {
  return Object.fromEntries(annotations.filter((note) => note.place === place).map(({ key, value }) => [key, value]));
}

/** Progress of what goes to a registry or is compressed. */
export function tell({ io }: Result): (progress: TransferProgress) => void {
  return ({ digest, state, doneBytes, totalBytes }) =>
    io.emit({ type: 'output-progress', what: `${state} ${digest.slice(0, 19)}`, done: doneBytes, total: totalBytes });
}
