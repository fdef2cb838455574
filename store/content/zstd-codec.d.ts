declare module 'zstd-codec/lib/zstd-stream.js' {
  import type { Transform } from 'node:stream';

  const streams: { run(ready: (streams: { readonly ZstdDecompressTransform: new () => Transform }) => void): void };
  // biome-ignore lint/style/noDefaultExport: a CommonJS package
  export default streams;
}
