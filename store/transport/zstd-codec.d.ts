declare module 'zstd-codec' {
  interface Codec {
    readonly Simple: new () => { compress(piece: Uint8Array, level: number): Uint8Array };
  }
  const codec: { readonly ZstdCodec: { run(ready: (codec: Codec) => void): void } };
  // biome-ignore lint/style/noDefaultExport: a CommonJS package
  export default codec;
}
