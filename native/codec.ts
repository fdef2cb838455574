// The compressors of libtsbuild.so, on worker threads.
import { readFileSync } from 'node:fs';
import { type Library, openLibrary } from './library.js';
import { nativeFile } from './locate.js';

export type Codec = 'gzip' | 'zstd';

export interface DecoderStep {
  /** Bytes of the input that were consumed. */
  readonly read: number;
  /** Bytes that were put into the output. */
  readonly written: number;
  /** True where a gzip member or zstd frame has ended: the input may end here. */
  readonly frameDone: boolean;
}

export interface Decoder {
  /** Decodes as much of `input` as fits into `output`. @throws Error saying what is wrong with the bytes */
  step(input: Uint8Array, output: Buffer): Promise<DecoderStep>;
  /** Not while a step is under way. */
  close(): void;
}

/** Makes one gzip member or zstd frame of one piece. */
export interface Encoder {
  /** Bytes that come of a piece of this size at most. */
  bound(pieceBytes: number): number;
  /** @returns the part of `output` that was written, which has room for `bound` */
  encode(piece: Uint8Array, output: Buffer): Promise<Buffer>;
}

/** A decoder for one stream. Null for gzip where the host has no ISA-L: node's zlib does the same, slower. */
export async function openDecoder(codec: Codec): Promise<Decoder | null> {
  const { decoders } = await functions();
  const { open, step, fault, close } = decoders[codec];
  const decoder = open();
  if (decoder === null) return null;
  const progress = new Float64Array(2);
  return {
    step: (input, output) =>
      new Promise((resolve, reject) => {
        step.async(
          decoder,
          input,
          input.length,
          output,
          output.length,
          progress,
          (error: Error | null, code: number) => {
            if (error !== null || code < 0) reject(error ?? new Error(fault(code)));
            else resolve({ read: progress[0]!, written: progress[1]!, frameDone: code === 1 });
          },
        );
      }),
    close: () => close(decoder),
  };
}

export async function openEncoder(codec: Codec, level: number): Promise<Encoder> {
  const { bound, encode } = (await functions()).encoders[codec];
  return {
    bound,
    encode: (piece, output) =>
      new Promise((resolve, reject) => {
        encode.async(level, piece, piece.length, output, output.length, (error: Error | null, size: number) => {
          if (error !== null || size === 0) reject(error ?? new Error(`${codec} of ${piece.length} bytes failed`));
          else resolve(output.subarray(0, size));
        });
      }),
  };
}

/** The compressors by name and version: the same one, at the same level, makes the same bytes. */
export function codecEngines(): Readonly<Record<Codec, string>> {
  return JSON.parse(readFileSync(nativeFile('engines.json'), 'utf8')) as Record<Codec, string>;
}

type Native = ReturnType<Library['func']>;

interface Functions {
  readonly encoders: Readonly<Record<Codec, { bound: (size: number) => number; encode: Native }>>;
  readonly decoders: Readonly<
    Record<
      Codec,
      { open: () => unknown; step: Native; fault: (code: number) => string; close: (decoder: unknown) => void }
    >
  >;
}

let declared: Promise<Functions> | undefined;

function functions(): Promise<Functions> {
  declared ??= openLibrary().then(({ func }) => {
    const encoder = (name: string): Functions['encoders'][Codec] => ({
      bound: func(`size_t tsb_${name}_bound(size_t size)`),
      encode: func(
        `size_t tsb_${name}(int level, const uint8_t *input, size_t size, uint8_t *output, size_t capacity)`,
      ),
    });
    const decoder = (name: string): Functions['decoders'][Codec] => ({
      open: func(`void *tsb_${name}_open()`),
      step: func(
        `int tsb_${name}_step(void *decoder, const uint8_t *input, size_t size, uint8_t *output, size_t capacity, double *progress)`,
      ),
      fault: func(`const char *tsb_${name}_fault(int code)`),
      close: func(`void tsb_${name}_close(void *decoder)`),
    });
    return {
      encoders: { gzip: encoder('gzip'), zstd: encoder('zstd') },
      decoders: { gzip: decoder('gunzip'), zstd: decoder('unzstd') },
    };
  });
  return declared;
}
