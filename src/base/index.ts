export { CodedError } from '#native';
export { BuildError, errorAt } from './errors.js';
export type { BuildEvent, EventSink } from './events.js';
export { hasGlob } from './glob.js';
export { globMatcher, type IgnoreMatcher, ignoreMatcher, patternMatcher } from './patterns.js';
export { renderError, renderWarning, type Warning } from './render-error.js';
export { lineAndColumn, lineCount, lineText, type SourceFile, type Span } from './span.js';
export { closest, nearest } from './suggest.js';
export { unlessInterrupted } from './unless-interrupted.js';
