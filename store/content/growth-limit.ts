// How large a layer may get that is decompressed on its way in. A small file may stand for any number of bytes (gzip makes
// 1,032 of one, zstd and bzip2 many thousand), and who sent it may want the disk full. So: no layer beyond `maxBytes`, and a
// stream that grew more than 200-fold – layers grow three- to tenfold, with holes a little more – takes at most 8 GiB and
// at most a quarter of what was free when it began. Whoever says `maxLayerBytes` has said what may come, by whatever ratio.
import { StoreError } from '../errors.js';
import { decompress } from './decompress.js';
import { diskSpace } from './disk-space.js';

export interface GrowthOptions {
  /** Layers larger than this are refused; 1 TiB by default. */
  readonly maxBytes?: number | undefined;
  /** From this size on a stream must not have grown more than honest ones do; 8 GiB by default. */
  readonly suspectBytes?: number | undefined;
}

/** @throws StoreError LAYER_TOO_LARGE */
export type GrowthLimit = (bytes: number, compressedBytes: number) => void;

const defaultMaxBytes = 2 ** 40;
const defaultSuspectBytes = 2 ** 33;
const maxRatio = 200;

/** @param dir where the bytes are written to; @param maxLayerBytes what the user of the store takes */
export function openGrowthLimit(
  dir: string,
  maxLayerBytes: number | undefined,
  options: GrowthOptions = {},
): GrowthLimit {
  const maxBytes = Math.min(options.maxBytes ?? defaultMaxBytes, maxLayerBytes ?? Number.POSITIVE_INFINITY);
  const wanted = options.suspectBytes ?? (maxLayerBytes === undefined ? defaultSuspectBytes : maxBytes);
  const suspectBytes =
    maxLayerBytes === undefined ? Math.min(wanted, Math.floor(diskSpace({ dir }).freeBytes / 4)) : wanted;
  return (bytes, compressedBytes) => {
    if (bytes > maxBytes) throw beyondLimit(maxBytes);
    if (bytes > suspectBytes && bytes > compressedBytes * maxRatio) throw suspect(bytes, compressedBytes);
  };
}

/** `decompress`, held to `limit`. */
export async function* decompressWithin(
  limit: GrowthLimit,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let compressedBytes = 0;
  const counted = (async function* () {
    for await (const chunk of source) {
      compressedBytes += chunk.length;
      yield chunk;
    }
  })();
  let bytes = 0;
  for await (const chunk of decompress(counted)) {
    bytes += chunk.length;
    limit(bytes, compressedBytes);
    yield chunk;
  }
}

function beyondLimit(maxBytes: number): StoreError {
  return new StoreError('LAYER_TOO_LARGE', {
    message: `a layer unpacks to more than the ${maxBytes} bytes that are allowed`,
    hint: 'if you trust where it comes from, allow more: TSBUILD_LAYER_MAX=2tb',
  });
}

function suspect(bytes: number, compressedBytes: number): StoreError {
  return new StoreError('LAYER_TOO_LARGE', {
    message: `${compressedBytes} compressed bytes of a layer have become ${bytes}, and more would come`,
    hint: 'it looks like a decompression bomb; if you trust where it comes from, say how large layers may be: TSBUILD_LAYER_MAX=64gb',
  });
}
