// The kernel's registered interpreters for foreign formats. @see Documentation/admin-guide/binfmt-misc.rst
import { readdirSync, readFileSync } from 'node:fs';

export interface Emulator {
  readonly name: string;
  readonly interpreter: string;
  /** Flag F: the kernel holds the interpreter open, so it works in every root; otherwise the root must contain it. */
  readonly everywhere: boolean;
}

/** The handler that this machine's kernel would choose for a file that starts with `head`. */
export function findEmulator(head: Buffer, directory = '/proc/sys/fs/binfmt_misc'): Emulator | undefined {
  return handlers(directory).find((handler) => handler.matches(head));
}

interface Handler extends Emulator {
  matches(head: Buffer): boolean;
}

const read = new Map<string, readonly Handler[]>();

/** Read once a process. The kernel tries the latest registered first; the listing has no order, so ties are left to chance. */
function handlers(directory: string): readonly Handler[] {
  const known = read.get(directory);
  if (known) return known;
  const found = readHandlers(directory);
  read.set(directory, found);
  return found;
}

function readHandlers(directory: string): Handler[] {
  const contents = (name: string): string => {
    try {
      return readFileSync(`${directory}/${name}`, 'latin1');
    } catch {
      return ''; // not mounted, or removed meanwhile: no handler
    }
  };
  if (!contents('status').startsWith('enabled')) return [];
  return readdirSync(directory)
    .filter((name) => name !== 'status' && name !== 'register')
    .flatMap((name) => parseHandler(name, contents(name)) ?? []);
}

/** 'enabled\ninterpreter PATH\nflags: OCF\noffset 0\nmagic HEX\nmask HEX'; handlers by file name extension are not for programs in images. */
function parseHandler(name: string, text: string): Handler | undefined {
  const field = (pattern: RegExp): string | undefined => pattern.exec(text)?.[1];
  const interpreter = field(/^interpreter (.+)$/m);
  const magic = Buffer.from(field(/^magic ([0-9a-f]+)$/m) ?? '', 'hex');
  if (!text.startsWith('enabled') || interpreter === undefined || magic.length === 0) return undefined;
  const mask = Buffer.from(field(/^mask ([0-9a-f]+)$/m) ?? '', 'hex');
  const offset = Number(field(/^offset (\d+)$/m) ?? 0);
  return {
    name,
    interpreter,
    everywhere: field(/^flags: (\w*)$/m)?.includes('F') === true,
    matches: (head) =>
      head.length >= offset + magic.length &&
      magic.every((byte, i) => ((head[offset + i]! ^ byte) & (mask[i] ?? 0xff)) === 0),
  };
}
