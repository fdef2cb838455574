export { type ExpandOptions, ExpansionError, expandWord, expandWords, type Lookup } from './expand.js';
export type { Fragments } from './include.js';
export { type Mount, mountFrom, parseMount } from './mount.js';
export { type ParseOptions, parseBuildfile, parseTrigger } from './parse.js';
export type {
  ArgInstruction,
  Buildfile,
  CommandInstruction,
  CommandLine,
  CopyInstruction,
  Directive,
  FromInstruction,
  HealthcheckInstruction,
  Heredoc,
  Instruction,
  ListInstruction,
  MountFlag,
  PairsInstruction,
  RunInstruction,
  Stage,
  ValueInstruction,
  Word,
  WorkdirInstruction,
} from './types.js';
