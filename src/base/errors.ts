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

/** What was refused, said at the instruction that asked for it where it has no place of its own; a bug as it is. */
export function errorAt(error: unknown, at: Span): unknown {
  if (!(error instanceof CodedError) || (error instanceof BuildError && error.at !== undefined)) return error;
  const { code, message, hint } = error;
  const notes = error instanceof BuildError ? error.notes : [];
  return new BuildError(code, { message, hint, notes, at, cause: error });
}
