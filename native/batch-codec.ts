// The packed formats of native/batch, for calls into the library as for the launcher's pipes.
export { decodeApply, decodeRemove, encodeApply, encodeRemove } from './apply-codec.js';
export { decodeAssemble, decodeHash, encodeAssemble, encodeHash, type FileRef } from './assemble-codec.js';
export { decodeWalk, encodeWalk } from './walk-codec.js';
