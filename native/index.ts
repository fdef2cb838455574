export { CodedError, SystemError } from './errors.js';
export { displayPath, pathBytes, type RawPath, rawPath } from './raw-path.js';
export type * from './types.js';
