/** An error that a person can mend: a stable code, one sentence, and what to do next. */
export abstract class CodedError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, details: { message: string; hint?: string | undefined; cause?: unknown }) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
  }
}

/** The machine refused: a system call, a missing kernel feature, a helper program. */
export class SystemError extends CodedError {
  /** errno name such as 'ENOSPC', where there is one. */
  readonly errno: string | undefined;

  constructor(
    code: string,
    details: { message: string; hint?: string | undefined; cause?: unknown; errno?: string | undefined },
  ) {
    super(code, details);
    this.errno = details.errno;
  }
}
