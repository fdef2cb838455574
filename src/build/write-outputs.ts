// The outputs of a build, one after the other.
import { type Digest, exportLayout, formatReference, parseReference, saveArchive, tagImage } from '#store';
import { type MadeImage, makeImage, notes, type Result, storeImage, tell } from './make-image.js';
import type { Output } from './output.js';

/** The image that the outputs are of. */
export interface Outcome extends MadeImage {
  /** Of the image, or of the index that it is in. */
  readonly digest: Digest;
  readonly names: readonly string[];
}

/**
 * Makes every output. Names in the store are given last, all together.
 *
 * @returns the first image among them; where there is none, the image in the store without a name
 */
export async function writeOutputs(result: Result, outputs: readonly Output[]): Promise<Outcome> {
  const made: Outcome[] = [];
  const tags: [name: string, digest: Digest][] = [];
  for (const output of outputs) {
    const image = await writeOutput(result, output);
    if (image === null || output.kind === 'files' || output.kind === 'tar' || output.kind === 'none') continue;
    const digest = image.descriptor.digest;
    made.push({ ...image, digest, names: output.names });
    if (output.kind === 'image' && output.named) for (const name of output.names) tags.push([name, digest]);
  }
  for (const [name, digest] of tags) tagImage(result.io.store, name, digest);
  const [first] = made;
  if (first !== undefined) return { ...first, names: [...new Set(made.flatMap(({ names }) => names))] };
  const image = await storeImage({ ...result, statements: null, indexed: false }, plainForm, [], 'none');
  return { ...image, digest: image.descriptor.digest, names: [] };
}

/** An image of OCI's types over the layers as they lie in the store. */
const plainForm = {
  types: 'oci',
  compression: null,
  level: undefined,
  forceCompression: false,
  rewriteTimestamp: false,
  annotations: [],
  artifact: true,
} as const;

async function writeOutput(result: Result, output: Output): Promise<MadeImage | null> {
  const { io, lease } = result;
  const signal = io.signal;
  switch (output.kind) {
    case 'image':
      return makeImage(result, output);
    case 'archive': {
      const { form, names, dest, docker } = output;
      const made = await storeImage(result, form, names, 'gzip');
      const annotations = notes(form, made.index === undefined ? 'manifest-descriptor' : 'index-descriptor');
      await saveArchive(io.store, lease, [{ ...made, names, annotations }], dest ?? process.stdout, {
        format: docker ? 'both' : 'oci-archive',
        compression: 'own',
        onProgress: tell(result),
        signal,
      });
      return made;
    }
    case 'layout': {
      const { form, names, dest } = output;
      const made = await storeImage(result, form, names, 'gzip');
      const annotations = notes(form, made.index === undefined ? 'manifest-descriptor' : 'index-descriptor');
      for (const name of names.length > 0 ? names : [undefined]) {
        const tag = name === undefined ? undefined : formatReference(parseReference(name));
        const common = { compression: 'own', annotations, onProgress: tell(result), signal } as const;
        await exportLayout(io.store, lease, made.image, dest, { ...common, index: made.index, tag });
      }
      return made;
    }
    case 'files':
    case 'tar': {
      const { writeFiles, writeTar } = await import('./write-files.js');
      await (output.kind === 'files' ? writeFiles(result, output) : writeTar(result, output));
      return null;
    }
    case 'none':
      return null;
  }
}
