import { BuildError, type Span } from '../base/index.js';

/** What the language has and this version doesn't do: said, never passed over. */
export function notSupported(what: string, at: Span, hint?: string): BuildError {
  return new BuildError('NOT_SUPPORTED', { message: `${what} is not supported by this version of tsbuild`, hint, at });
}
