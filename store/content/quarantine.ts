// quarantine/: what was found damaged and could not be kept in use. Each object lies under a name of its own, beside it
// <name>.json says what it was, whose, when and why. Nothing removes it but a person's word (`tsbuild gc --quarantine`).
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { diskBytes } from './disk-bytes.js';
import { quarantineDir, trashDir } from './paths.js';

export interface QuarantineNote {
  /** What it was: 'layer', 'blob', … */
  readonly kind: string;
  /** Its digest or name. */
  readonly object: string;
  /** Where it lay in the store. */
  readonly path: string;
  readonly reason: string;
  /** References of the tags that needed it. */
  readonly neededBy: readonly string[];
  readonly foundMs: number;
}

export interface Quarantined extends QuarantineNote {
  /** Its name in quarantine/. */
  readonly name: string;
  readonly bytes: number;
}

/** Moves `path` out of use, with a note of what it was; where it is now, or null if it was gone already. */
export function moveToQuarantine(
  dir: string,
  path: string,
  note: Omit<QuarantineNote, 'foundMs' | 'path'>,
): string | null {
  if (!existsSync(path)) return null;
  mkdirSync(quarantineDir(dir), { recursive: true, mode: 0o700 });
  const target = join(quarantineDir(dir), `${note.kind.replaceAll(' ', '-')}-${randomUUID()}`);
  const whole: QuarantineNote = { ...note, path: path.slice(dir.length + 1), foundMs: Date.now() };
  // The note first: killed in between, there is a note without an object, and the object is where it was.
  writeFileSync(`${target}.json`, `${JSON.stringify(whole)}\n`, { mode: 0o600 });
  renameSync(path, target);
  return target;
}

/** What lies in quarantine, by name. */
export function listQuarantine(dir: string): Quarantined[] {
  if (!existsSync(quarantineDir(dir))) return [];
  return readdirSync(quarantineDir(dir))
    .filter((name) => !name.endsWith('.json'))
    .map((name) => ({
      ...readNote(join(quarantineDir(dir), `${name}.json`)),
      name,
      bytes: diskBytes(join(quarantineDir(dir), name)),
    }));
}

/** Hands everything in quarantine to the trash; whoever empties that gives the room back. */
export function emptyQuarantine(dir: string): void {
  if (existsSync(quarantineDir(dir))) renameSync(quarantineDir(dir), join(trashDir(dir), randomUUID()));
}

/** A note that is missing or can't be read says that it is unknown. */
function readNote(path: string): QuarantineNote {
  const unknown: QuarantineNote = {
    kind: 'object',
    object: 'unknown',
    path: '',
    reason: 'unknown',
    neededBy: [],
    foundMs: 0,
  };
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? { ...unknown, ...value } : unknown;
  } catch {
    return unknown;
  }
}
