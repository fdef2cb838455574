// Compression by the system's libzstd, on worker threads, where there is one.
import { loadZstd } from './zstd-library.js';

/** One frame from one piece. */
export type ZstdEncode = (piece: Uint8Array, level: number) => Promise<Buffer>;

/** Null where the host has no libzstd. */
export async function openZstdEncoder(): Promise<ZstdEncode | null> {
  const zstd = await loadZstd();
  if (zstd === null) return null;
  const bound = zstd.func('size_t ZSTD_compressBound(size_t size)') as (size: number) => number;
  const compress = zstd.func(
    'size_t ZSTD_compress(void *output, size_t capacity, const void *input, size_t size, int level)',
  );
  return (piece, level) =>
    new Promise((resolve, reject) => {
      const output = Buffer.allocUnsafeSlow(bound(piece.length));
      const done = (error: Error | null, code: number): void => {
        const fault = error ?? zstd.fault(code);
        if (fault) reject(fault);
        else resolve(output.subarray(0, code));
      };
      compress.async(output, output.length, piece, piece.length, level, done);
    });
}
