// The first line of a script as the kernel reads it. @see execve(2) "Interpreter scripts", fs/binfmt_script.c

export interface Shebang {
  readonly interpreter: string;
  /** Everything after the interpreter, as one argument; '' if there is none. */
  readonly argument: string;
}

/** The kernel looks at this much of a script (BINPRM_BUF_SIZE since Linux 5.1). */
const lineLimit = 256;

export function isScript(head: Buffer): boolean {
  return head[0] === 0x23 && head[1] === 0x21;
}

/** Null if the kernel would not take it for a script: no interpreter, or its name cut off by the limit. */
export function readShebang(head: Buffer): Shebang | null {
  if (!isScript(head)) return null;
  const start = head.toString('latin1', 2, lineLimit);
  const newline = start.indexOf('\n');
  const cutOff = newline < 0 && head.length >= lineLimit;
  const line = (newline < 0 ? start : start.slice(0, newline)).replace(/^[ \t]+/, '');
  const [, interpreter = '', separator = '', rest = ''] = /^([^ \t\0]*)([ \t\0]?)([^\0]*)/.exec(line) ?? [];
  if (interpreter === '' || (cutOff && separator === '')) return null;
  return { interpreter, argument: rest.replace(/^[ \t]+|[ \t]+$/g, '') };
}
