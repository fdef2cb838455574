import { CodedError } from '#native';
import type { Span } from './span.js';

/** A mistake in a build that its author can mend, with its place in the Buildfile where there is one. */
export class BuildError extends CodedError {
  readonly at: Span | undefined;
  /** Lines that belong to the story (a failing step's last output, the chain of a cycle), shown below the excerpt. */
  readonly notes: readonly string[];

  constructor(
    code: string,
    details: {
      message: string;
      hint?: string | undefined;
      at?: Span | undefined;
      notes?: readonly string[] | undefined;
      cause?: unknown;
    },
  ) {
    super(code, details);
    this.at = details.at;
    this.notes = details.notes ?? [];
  }
}

/** What the machine or the store refused, said at the instruction that asked for it; anything else as it is. */
export function errorAt(error: unknown, at: Span): unknown {
  if (!(error instanceof CodedError) || error instanceof BuildError) return error;
  const { code, message, hint } = error;
  return new BuildError(code, { message, hint, at, cause: error });
}
