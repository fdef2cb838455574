// What a Buildfile says, instruction by instruction. Words are as written: quotes, escapes and variables are still in them.
import type { SourceFile, Span } from '../base/index.js';

export interface Buildfile {
  readonly file: SourceFile;
  readonly directives: readonly Directive[];
  /** The language that the file says it is written in; null if it doesn't. One of those that are this one. */
  readonly frontend: Frontend | null;
  /** Character that escapes and continues lines: '\' or '`'. */
  readonly escapeChar: EscapeCharacter;
  /** ARG instructions before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
  /** The first empty line inside each instruction that goes on after it. */
  readonly emptyContinuations: readonly Span[];
  /** The comments above an instruction, without '#'; directives are none. Only of instructions that have some. */
  readonly comments: ReadonlyMap<Instruction | FromInstruction, readonly Word[]>;
}

export type EscapeCharacter = '\\' | '`';

export interface Directive {
  readonly name: 'syntax' | 'escape' | 'check';
  readonly value: string;
  readonly at: Span;
}

export interface Frontend {
  readonly name: string;
  /** Undefined: BUILDKIT_SYNTAX says it. */
  readonly at: Span | undefined;
}

/** FROM and what follows it. */
export interface Stage {
  readonly index: number;
  readonly from: FromInstruction;
  readonly instructions: readonly Instruction[];
}

/** A piece of text with its place. */
export interface Word {
  readonly text: string;
  readonly at: Span;
}

/** The inline document of a `<<NAME`. */
export interface Heredoc {
  readonly name: string;
  /** False if any part of the name was quoted. */
  readonly expand: boolean;
  /** As it is meant: leading tabs removed where it began with '<<-'. */
  readonly content: string;
  /** As it is written, for a shell that shall read it itself. */
  readonly raw: string;
  /** The opening word. */
  readonly at: Span;
}

export type CommandLine =
  | { readonly form: 'exec'; readonly args: readonly string[] }
  | {
      readonly form: 'shell';
      readonly text: string;
      readonly heredocs: readonly Heredoc[];
      /** Set if the whole command is one heredoc: its content is the command. */
      readonly script: Heredoc | null;
    };

interface InstructionCommon {
  /** From the keyword to the end of the last line, heredocs included. */
  readonly at: Span;
  /** The instruction on one line: continuations joined, comments dropped, heredoc bodies left out. */
  readonly source: string;
}

export interface FromInstruction extends InstructionCommon {
  readonly keyword: 'FROM';
  readonly base: Word;
  readonly platform: Word | null;
  /** In lower case: stage names don't distinguish. */
  readonly name: string | null;
  /** 'AS' and the name as they are written. */
  readonly as: { readonly keyword: Word; readonly name: Word } | null;
}

export interface ArgInstruction extends InstructionCommon {
  readonly keyword: 'ARG';
  readonly args: readonly { readonly name: string; readonly value: Word | null; readonly at: Span }[];
}

export interface PairsInstruction extends InstructionCommon {
  readonly keyword: 'ENV' | 'LABEL';
  readonly pairs: readonly { readonly name: Word; readonly value: Word }[];
  /** Written 'NAME VALUE', without '='. */
  readonly oldForm: boolean;
}

export interface RunInstruction extends InstructionCommon {
  readonly keyword: 'RUN';
  readonly command: CommandLine;
  readonly mounts: readonly MountFlag[];
  readonly network: Word | null;
  readonly security: Word | null;
  readonly devices: readonly Word[];
}

/** `--mount=`: its fields as written, 'key=value' or 'key'; parseMount gives them meaning once variables are known. */
export interface MountFlag {
  readonly fields: readonly Word[];
  readonly at: Span;
}

export interface CommandInstruction extends InstructionCommon {
  readonly keyword: 'CMD' | 'ENTRYPOINT';
  readonly command: CommandLine;
}

export interface CopyInstruction extends InstructionCommon {
  readonly keyword: 'COPY' | 'ADD';
  readonly sources: readonly Word[];
  readonly inline: readonly Heredoc[];
  readonly dest: Word;
  readonly from: Word | null;
  readonly chown: Word | null;
  readonly chmod: Word | null;
  readonly exclude: readonly Word[];
  /** True by flag; null where the flag is absent, as its default differs by instruction. */
  readonly link: Switch | null;
  readonly parents: Switch | null;
  readonly unpack: Switch | null;
  readonly keepGitDir: Switch | null;
  readonly checksum: Word | null;
}

export interface Switch {
  readonly on: boolean;
  readonly at: Span;
}

/** EXPOSE and VOLUME: a list of words. */
export interface ListInstruction extends InstructionCommon {
  readonly keyword: 'EXPOSE' | 'VOLUME';
  readonly words: readonly Word[];
}

/** USER, STOPSIGNAL and MAINTAINER: the rest of the line. */
export interface ValueInstruction extends InstructionCommon {
  readonly keyword: 'USER' | 'STOPSIGNAL' | 'MAINTAINER';
  readonly value: Word;
}

export interface WorkdirInstruction extends InstructionCommon {
  readonly keyword: 'WORKDIR';
  readonly value: Word;
}

interface ShellInstruction extends InstructionCommon {
  readonly keyword: 'SHELL';
  readonly args: readonly string[];
}

export interface HealthcheckInstruction extends InstructionCommon {
  readonly keyword: 'HEALTHCHECK';
  /** As an image config holds it: ['NONE'], ['CMD', …] or ['CMD-SHELL', command]. */
  readonly test: readonly string[];
  /** 0 where not given. */
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  readonly retries: number;
}

interface OnbuildInstruction extends InstructionCommon {
  readonly keyword: 'ONBUILD';
  readonly trigger: Instruction;
  /** The trigger's text as an image config holds it, heredocs included. */
  readonly text: string;
}

/** What stands in its place are the instructions of another file: no Buildfile that was parsed has one. */
export interface IncludeInstruction extends InstructionCommon {
  readonly keyword: 'INCLUDE';
  readonly path: Word;
  /** Name of the build context that the path lies in. */
  readonly from: Word | null;
}

/** Whatever may follow FROM. */
export type Instruction =
  | ArgInstruction
  | PairsInstruction
  | RunInstruction
  | CommandInstruction
  | CopyInstruction
  | ListInstruction
  | ValueInstruction
  | WorkdirInstruction
  | ShellInstruction
  | HealthcheckInstruction
  | OnbuildInstruction;

export const keywords = [
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'INCLUDE',
  'LABEL',
  'MAINTAINER',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const;

export type Keyword = (typeof keywords)[number];
