declare module 'zstd-codec' {
  interface Streaming {
    compress(bytes: Uint8Array, level: number): Uint8Array;
    decompress(bytes: Uint8Array): Uint8Array;
  }
  interface Codec {
    readonly Streaming: new () => Streaming;
  }
  const codec: { readonly ZstdCodec: { run(ready: (codec: Codec) => void): void } };
  // biome-ignore lint/style/noDefaultExport: a CommonJS package
  export default codec;
}
