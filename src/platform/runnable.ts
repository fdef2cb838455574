// Whether a step's command can start, found out before anything runs: what would end in 'exec format error' or in a
// 'no such file or directory' that means another file is refused by name. Where the answer is not certain, nothing is.
import type { Platform, RootView } from '#store';
import { findEmulator } from './binfmt.js';
import { type ElfFacts, elfHeadBytes, isElf, readElf } from './elf.js';
import { canExecuteHere } from './execute-here.js';
import { type FoundProgram, findProgram, isExecutable, locate, type Search } from './find-program.js';
import { hostIsaLevel } from './isa-level.js';
import type { Check, Command } from './refusal.js';
import * as refusal from './refusal.js';
import { isScript, readShebang } from './shebang.js';

/** A script's interpreter may be a script; the kernel follows five. */
const scriptLimit = 5;
/** An ELF interpreter's name further into the file than this is not looked for. */
const interpreterLimit = 16 * 1024 * 1024;

/**
 * Resolves the command in the merged root as execvp(3) and the kernel would and refuses what can't start.
 *
 * @throws BuildError PROGRAM_NOT_FOUND, PROGRAM_NOT_EXECUTABLE, ARCH_CANNOT_EXECUTE, ARCH_LEVEL_TOO_HIGH, INTERPRETER_MISSING,
 *   SCRIPT_INTERPRETER_MISSING
 */
export function requireRunnable(
  view: RootView,
  command: Command,
  host: Platform,
  describeOrigin: (layer: number) => string,
): void {
  const check: Check = { view, command, host, describeOrigin };
  const search = findProgram(view, command);
  if (search.kind === 'hidden') return;
  if (search.kind === 'missing') throw refusal.notFound(check, search.unusable);
  requireFormat(check, search.program, 0);
}

function requireFormat(check: Check, program: FoundProgram, scripts: number): void {
  const head = check.view.read(program.entry, elfHeadBytes);
  if (isElf(head)) requireElf(check, program, head);
  else if (isScript(head)) requireScript(check, program, head, scripts);
  else if (findEmulator(head) === undefined) throw refusal.unknownFormat(check, program, head);
}

function requireElf(check: Check, program: FoundProgram, head: Buffer): void {
  const facts = readElf(head);
  if (facts === null || (facts.type !== 'executable' && facts.type !== 'shared')) {
    throw refusal.noProgram(check, program, facts);
  }
  const how = canExecuteHere(facts, check.host, head);
  if (how === 'no') requireEmulator(check, program, facts, head);
  else if (how !== 'emulated') requireInterpreter(check, program, facts); // an emulator has its own ways to find it
}

/** A handler without flag F starts its interpreter from inside the root. */
function requireEmulator(check: Check, program: FoundProgram, facts: ElfFacts, head: Buffer): void {
  const emulator = findEmulator(head);
  const inRoot: Search | undefined = emulator && locate(check.view, check.command, emulator.interpreter);
  if (inRoot === undefined || inRoot.kind === 'missing') throw refusal.foreign(check, program, facts, emulator);
}

function requireInterpreter(check: Check, program: FoundProgram, facts: ElfFacts): void {
  const interpreter = facts.interpreter ?? farInterpreter(check, program, facts);
  if (interpreter === null) return;
  const search = locate(check.view, check.command, interpreter);
  if (search.kind === 'hidden') return;
  if (search.kind === 'missing') throw refusal.interpreterMissing(check, program, interpreter);
  const loader = search.program;
  if (!isExecutable(loader.entry)) throw refusal.notExecutable(check, loader);
  const loaderFacts = readElf(check.view.read(loader.entry, elfHeadBytes));
  if (loaderFacts === null) throw refusal.noProgram(check, loader, null);
  if (loaderFacts.machine !== facts.machine || loaderFacts.bits !== facts.bits || loaderFacts.endian !== facts.endian) {
    throw refusal.loaderMismatch(check, program, facts, { program: loader, facts: loaderFacts });
  }
  const glibc = /\/ld-linux-x86-64\.so\.2$/.test(interpreter); // no other loader asks for the level
  if (glibc && facts.isaLevel > hostIsaLevel()) throw refusal.levelTooHigh(check, program, facts, hostIsaLevel());
}

/** Tools that rewrite PT_INTERP append it to the file, out of the head's sight. */
function farInterpreter(check: Check, program: FoundProgram, facts: ElfFacts): string | null {
  if (facts.interpreterAt === null) return null;
  const { offset, size } = facts.interpreterAt;
  if (size > elfHeadBytes || offset + size > Math.min(program.entry.size, interpreterLimit)) return null;
  const bytes = check.view.read(program.entry, offset + size).subarray(offset);
  return bytes.toString('latin1').split('\0')[0] || null;
}

function requireScript(check: Check, script: FoundProgram, head: Buffer, scripts: number): void {
  if (scripts === scriptLimit) throw refusal.scriptsTooDeep(check, script, scriptLimit);
  const shebang = readShebang(head);
  if (shebang === null) throw refusal.unknownFormat(check, script, head);
  const search = locate(check.view, check.command, Buffer.from(shebang.interpreter, 'latin1').toString());
  if (search.kind === 'hidden') return;
  if (search.kind === 'missing') throw refusal.scriptInterpreterMissing(check, script, shebang.interpreter);
  if (!isExecutable(search.program.entry)) throw refusal.notExecutable(check, search.program);
  requireFormat(check, search.program, scripts + 1);
  if (/(^|\/)env$/.test(shebang.interpreter)) requireEnvProgram(check, script, shebang.argument);
}

/** `#!/usr/bin/env NAME`: env searches NAME as execvp does. With options or assignments it is left alone. */
function requireEnvProgram(check: Check, script: FoundProgram, argument: string): void {
  if (!/^[\w.+][\w.+-]*$/.test(argument)) return;
  const search = findProgram(check.view, { ...check.command, program: argument });
  if (search.kind === 'hidden') return;
  if (search.kind === 'missing') throw refusal.scriptInterpreterMissing(check, script, argument);
  requireFormat(check, search.program, 1);
}
