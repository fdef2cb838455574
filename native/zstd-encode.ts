// Compression by the system's libzstd, on worker threads, where there is one.

/** One frame from one piece. */
export type ZstdEncode = (piece: Uint8Array, level: number) => Promise<Buffer>;

/** Null where the host has no libzstd. */
export async function openZstdEncoder(): Promise<ZstdEncode | null> {
  const { default: koffi } = await import('koffi');
  let zstd: ReturnType<typeof koffi.load>;
  try {
    zstd = koffi.load('libzstd.so.1');
  } catch {
    return null;
  }
  const isError = zstd.func('uint32_t ZSTD_isError(size_t code)') as (code: number) => number;
  const errorName = zstd.func('const char *ZSTD_getErrorName(size_t code)') as (code: number) => string;
  const bound = zstd.func('size_t ZSTD_compressBound(size_t size)') as (size: number) => number;
  const compress = zstd.func(
    'size_t ZSTD_compress(void *output, size_t capacity, const void *input, size_t size, int level)',
  );
  return (piece, level) =>
    new Promise((resolve, reject) => {
      const output = Buffer.allocUnsafeSlow(bound(piece.length));
      const done = (error: Error | null, code: number): void => {
        if (error) reject(error);
        else if (isError(code) !== 0) reject(new Error(errorName(code)));
        else resolve(output.subarray(0, code));
      };
      compress.async(output, output.length, piece, piece.length, level, done);
    });
}
