// zstd by someone else: zstd-codec is libzstd compiled to JavaScript, of another version and with nothing of our C around it.
// What leaves here it must read, and what it makes must be read here.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import zstdCodec from 'zstd-codec';
import { openEncoder } from '#native';
import { decompress } from '../../store/content/decompress.js';

type Peer = InstanceType<Parameters<Parameters<typeof zstdCodec.ZstdCodec.run>[0]>[0]['Streaming']>;
const peer = new Promise<Peer>((resolve) => zstdCodec.ZstdCodec.run(({ Streaming }) => resolve(new Streaming())));

/** Runs of one byte and noise, of sizes around the chunks that both sides work in. */
const bytes = fc
  .array(
    fc.oneof(
      fc.tuple(fc.nat(255), fc.oneof(fc.nat(100), fc.nat(200_000))).map(([value, size]) => Buffer.alloc(size, value)),
      fc.uint8Array({ maxLength: 3000 }).map((noise) => Buffer.from(noise)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts));

const runs = { numRuns: 60 };

test('what is compressed here as zstd, at any level and in any number of frames, zstd-codec reads', async () => {
  const other = await peer;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(bytes, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 3 }),
      async (pieces) => {
        const frames = await Promise.all(pieces.map(([piece, level]) => encode(piece, level)));
        const read = Buffer.from(other.decompress(Buffer.concat(frames)));
        expect(read.equals(Buffer.concat(pieces.map(([piece]) => piece)))).toBe(true);
      },
    ),
    runs,
  );
});

test('what zstd-codec compresses is read here', async () => {
  const other = await peer;
  await fc.assert(
    fc.asyncProperty(bytes, fc.integer({ min: 1, max: 9 }), async (plain, level) => {
      const frame = other.compress(plain, level);
      const read: Uint8Array[] = [];
      const source = (async function* () {
        yield frame;
      })();
      for await (const chunk of decompress(source)) read.push(Uint8Array.from(chunk));
      expect(Buffer.concat(read).equals(plain)).toBe(true);
    }),
    runs,
  );
});

async function encode(piece: Buffer, level: number): Promise<Buffer> {
  const encoder = await openEncoder('zstd', level);
  return encoder.encode(piece, Buffer.alloc(encoder.bound(piece.length)));
}
