// The system's libzstd, where there is one: Node 20 has no zstd of its own, and the portable package is five times slower.
import { loadZstd } from './zstd-library.js';

export interface ZstdStep {
  /** Bytes of the input that were consumed. */
  readonly read: number;
  /** Bytes that were put into the output. */
  readonly written: number;
  /** True at the end of a frame: the input may end here. */
  readonly frameDone: boolean;
}

export interface ZstdDecoder {
  /** Decodes as much of `input` as fits into `output`, on a worker thread. @throws Error saying what is wrong with the bytes */
  step(input: Uint8Array, output: Buffer): Promise<ZstdStep>;
  close(): void;
}

/** A decoder for one stream of frames, or null where the host has no libzstd. */
export async function openZstdDecoder(): Promise<ZstdDecoder | null> {
  library ??= load();
  return (await library)?.open() ?? null;
}

let library: Promise<{ open(): ZstdDecoder } | null> | undefined;

async function load(): Promise<{ open(): ZstdDecoder } | null> {
  const zstd = await loadZstd();
  if (zstd === null) return null;
  const create = zstd.func('void *ZSTD_createDCtx()');
  const free = zstd.func('size_t ZSTD_freeDCtx(void *context)');
  const decompress = zstd.func(
    'size_t ZSTD_decompressStream_simpleArgs(void *context, void *output, size_t capacity, void *written, const void *input, size_t size, void *read)',
  );

  return {
    open: () => {
      const context: unknown = create();
      const read = new BigUint64Array(1);
      const written = new BigUint64Array(1);
      return {
        step: (input, output) =>
          new Promise((resolve, reject) => {
            read[0] = 0n;
            written[0] = 0n;
            const done = (error: Error | null, code: number): void => {
              const fault = error ?? zstd.fault(code);
              if (fault) reject(fault);
              else resolve({ read: Number(read[0]), written: Number(written[0]), frameDone: code === 0 });
            };
            decompress.async(context, output, output.length, written, input, input.length, read, done);
          }),
        close: () => free(context),
      };
    },
  };
}
