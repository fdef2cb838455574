// What requireRunnable says when it refuses: which file, what is wrong with it, where it came from, what to do.
import { displayPath, rawPath } from '#native';
import { formatPlatform, type Platform, type RootView } from '#store';
import { BuildError, closest, type Span } from '../base/index.js';
import type { Emulator } from './binfmt.js';
import { type ElfFacts, elfHeadBytes, isElf, readElf } from './elf.js';
import { type FoundProgram, locate, namesOnPath, type ProgramRequest } from './find-program.js';
import { elfPlatform, machineName, platformMachineName } from './machine.js';

export interface Command extends ProgramRequest {
  readonly at?: Span | undefined;
  /** Who wants it to run, as messages begin: 'RUN'. */
  readonly what: string;
}

/** One check under way. */
export interface Check {
  readonly view: RootView;
  readonly command: Command;
  readonly host: Platform;
  /** Where a layer came from: 'base image alpine:3.20', 'COPY at Buildfile:7'. */
  readonly describeOrigin: (layer: number) => string;
}

export function notFound(check: Check, unusable: FoundProgram | null): BuildError {
  if (unusable !== null) return notExecutable(check, unusable);
  const { program, searchPath, what } = check.command;
  const shell = /^\/.*\/(ba|da|a|z|k)?sh$/.exec(program);
  const where = program.includes('/') ? '' : ` on its PATH (${searchPath})`;
  const close = program.includes('/') ? undefined : closest(program, namesOnPath(check.view, check.command));
  return refuse(check, 'PROGRAM_NOT_FOUND', {
    message: `${what} needs ${program || 'a program'}, which the image does not have${where}`,
    hint: shell
      ? `the image has no ${program}; use the exec form (${what} ["program", "argument"]) or FROM a base with a shell`
      : close
        ? `did you mean ${close}?`
        : 'install the package that has it in this stage, or copy it in before this step',
  });
}

export function notExecutable(check: Check, program: FoundProgram): BuildError {
  const { entry } = program;
  if (entry.type !== 'file') {
    return refuse(check, 'PROGRAM_NOT_EXECUTABLE', {
      message: `${check.command.what} needs ${described(check, program)}, which is ${fileKinds[entry.type] ?? entry.type}, no program`,
      hint: 'name the program itself',
    });
  }
  return refuse(check, 'PROGRAM_NOT_EXECUTABLE', {
    message: `${check.command.what} needs ${described(check, program)}, which has no execute permission (mode ${entry.mode.toString(8).padStart(4, '0')})`,
    hint: 'copy it with COPY --chmod=755, or set its mode in an earlier step',
  });
}

/** Neither ELF nor '#!': the kernel says ENOEXEC; only a shell would try it as a script. */
export function unknownFormat(check: Check, program: FoundProgram, head: Buffer): BuildError {
  const text = head.length > 0 && !head.includes(0);
  const what =
    head.length === 0
      ? 'is empty'
      : text
        ? 'has no #! line with an interpreter'
        : 'is in no format that the kernel executes';
  return refuse(check, 'PROGRAM_NOT_EXECUTABLE', {
    message: `${check.command.what} needs ${described(check, program)}, which ${what}`,
    hint: text
      ? `begin it with #!/bin/sh, or start it as ["/bin/sh", "${program.name}"]`
      : 'was it copied completely, and is it the program?',
  });
}

export function noProgram(check: Check, program: FoundProgram, facts: ElfFacts | null): BuildError {
  const kind = facts === null ? 'a damaged ELF file' : `an ELF file of type ${facts.type}`;
  return refuse(check, 'PROGRAM_NOT_EXECUTABLE', {
    message: `${check.command.what} needs ${described(check, program)}, which is ${kind}, no program`,
    hint: facts === null ? 'was it copied completely?' : 'link it, or name the program itself',
  });
}

export function foreign(
  check: Check,
  program: FoundProgram,
  facts: ElfFacts,
  emulator: Emulator | undefined,
): BuildError {
  const [machine, host] = [machineName(facts), platformMachineName(check.host)];
  const emulate = emulator
    ? `register its emulator ${emulator.interpreter} with flag F, so that it works inside images`
    : `register an emulator for ${machine} on this machine (qemu-user-static and binfmt-support)`;
  return refuse(check, 'ARCH_CANNOT_EXECUTE', {
    message: `${check.command.what} needs ${described(check, program)}, a program for ${machine}; this machine is ${host}`,
    hint: `take what holds it for ${formatPlatform(check.host)} instead of ${formatPlatform(elfPlatform(facts))}, or ${emulate}`,
  });
}

export function interpreterMissing(check: Check, program: FoundProgram, interpreter: string): BuildError {
  const needs = libcOf(interpreter);
  const has = imageLibc(check);
  const story =
    needs !== null && has !== null && needs !== has ? `: it was built for ${needs}, this image has ${has}` : '';
  return refuse(check, 'INTERPRETER_MISSING', {
    message: `${check.command.what} needs ${described(check, program)}, whose loader ${interpreter} the image does not have${story}`,
    hint: story
      ? `take a build for ${has}, link it statically, or use a base with ${needs}`
      : 'link it statically, or use a base that has this loader and the libraries it needs',
  });
}

export function loaderMismatch(
  check: Check,
  program: FoundProgram,
  facts: ElfFacts,
  loader: { readonly program: FoundProgram; readonly facts: ElfFacts },
): BuildError {
  return refuse(check, 'ARCH_CANNOT_EXECUTE', {
    message: `${check.command.what} needs ${described(check, program)}, a program for ${machineName(facts)}, but its loader ${described(check, loader.program)} is for ${machineName(loader.facts)}`,
    hint: 'two architectures are mixed in this image: copy the program or its libraries for the other one',
  });
}

export function levelTooHigh(check: Check, program: FoundProgram, facts: ElfFacts, hostLevel: number): BuildError {
  return refuse(check, 'ARCH_LEVEL_TOO_HIGH', {
    message: `${check.command.what} needs ${described(check, program)}, built for x86-64-v${facts.isaLevel}; this processor has x86-64-v${hostLevel}`,
    hint: `take a build for x86-64-v${hostLevel} or the baseline, or build on a newer processor`,
  });
}

export function scriptInterpreterMissing(check: Check, script: FoundProgram, interpreter: string): BuildError {
  const windows = interpreter.endsWith('\r');
  const name = interpreter.replace(/\r$/, '');
  const close = name.includes('/') ? undefined : closest(name, namesOnPath(check.view, check.command));
  return refuse(check, 'SCRIPT_INTERPRETER_MISSING', {
    message: windows
      ? `${check.command.what} needs ${described(check, script)}, a script with Windows line ends: its interpreter would be "${name}" with a carriage return`
      : `${check.command.what} needs ${described(check, script)}, a script for ${name}, which the image does not have`,
    hint: windows
      ? 'convert it to Unix line ends (sed -i s/\\r$//), and keep git from changing them (.gitattributes: eol=lf)'
      : close
        ? `did you mean ${close}? otherwise install ${name} in an earlier step`
        : `install ${name} in an earlier step, or change the first line of the script`,
  });
}

export function scriptsTooDeep(check: Check, script: FoundProgram, limit: number): BuildError {
  return refuse(check, 'SCRIPT_INTERPRETER_MISSING', {
    message: `${check.command.what} ends at ${described(check, script)}: more than ${limit} scripts interpret each other`,
    hint: 'let the first line of one of them name a program',
  });
}

function refuse(check: Check, code: string, words: { message: string; hint: string }): BuildError {
  return new BuildError(code, { ...words, at: check.command.at });
}

/** '/bin/sh (/usr/bin/dash, from base image debian)'. */
function described(check: Check, program: FoundProgram): string {
  const place = `/${displayPath(program.path)}`;
  const origin = `from ${check.describeOrigin(program.entry.layer)}`;
  return `${program.name} (${place === program.name ? '' : `${place}, `}${origin})`;
}

function libcOf(interpreter: string): 'glibc' | 'musl' | null {
  const name = interpreter.slice(interpreter.lastIndexOf('/') + 1);
  if (name.startsWith('ld-musl-')) return 'musl';
  return /^(ld-linux.*|ld64|ld)\.so\.[1-3]$/.test(name) ? 'glibc' : null;
}

/** Told by the program that every image with a C library has. */
function imageLibc(check: Check): 'glibc' | 'musl' | null {
  const search = locate(check.view, check.command, '/bin/sh');
  if (search.kind === 'found' && search.program.entry.type === 'file') {
    const head = check.view.read(search.program.entry, elfHeadBytes);
    const interpreter = isElf(head) ? readElf(head)?.interpreter : undefined;
    if (interpreter) return libcOf(interpreter);
  }
  const loaders = check.view.list(rawPath('lib')).map((entry) => libcOf(`/${entry.path}`));
  return loaders.find((libc) => libc !== null) ?? null;
}

const fileKinds: Partial<Record<string, string>> = {
  dir: 'a directory',
  symlink: 'a symlink to nowhere',
  char: 'a device',
  block: 'a device',
  fifo: 'a named pipe',
};
