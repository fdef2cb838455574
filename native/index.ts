export { assembleTar, hashFiles, removeTrees, walkTree } from './batch.js';
export type { FileRef } from './batch-codec.js';
export { bootId, syncFile } from './durable.js';
export { CodedError, SystemError } from './errors.js';
export { type FileLock, lockFile } from './lock.js';
export { displayPath, pathBytes, type RawPath, rawPath } from './raw-path.js';
export type * from './types.js';
