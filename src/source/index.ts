export { baseConfigOf } from './base-facts.js';
export type { BaseOptions } from './base-options.js';
export { type DebianOptions, importDebian } from './debian.js';
export { type HostBaseOptions, importHostBase } from './host-base.js';
export type { OnSourceProgress, SourceProgress } from './progress.js';
export { resolveBase } from './resolve-base.js';
export { importRootfs, type RootfsOptions } from './rootfs.js';
