export { buildfileNames } from './buildfile-names.js';
export { type Context, type ContextOptions, openContext } from './context.js';
export { findIgnoreFile, type IgnoreFile } from './ignore-file.js';
export { readTextBeneath, type TextBeneath } from './read-beneath.js';
export { keepUnignored } from './walk.js';
