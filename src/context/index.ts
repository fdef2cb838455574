export { type Context, type ContextOptions, openContext } from './context.js';
export { findIgnoreFile, type IgnoreFile } from './ignore-file.js';
export { readTextBeneath } from './read-beneath.js';
