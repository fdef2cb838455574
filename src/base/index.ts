export { CodedError, SystemError } from '#native';
export { BuildError } from './errors.js';
export type { BuildEvent, EventSink } from './events.js';
export { renderError } from './render-error.js';
export { lineAndColumn, type SourceFile, type Span } from './span.js';
