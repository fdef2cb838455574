export { type ExpandOptions, ExpansionError, expandWord, expandWords, type Lookup } from './expand.js';
export { type Mount, parseMount } from './mount.js';
export { parseBuildfile, parseTrigger } from './parse.js';
export type {
  ArgInstruction,
  Buildfile,
  CommandInstruction,
  CommandLine,
  CopyInstruction,
  Directive,
  EscapeCharacter,
  FromInstruction,
  HealthcheckInstruction,
  Heredoc,
  Instruction,
  Keyword,
  ListInstruction,
  MountFlag,
  OnbuildInstruction,
  PairsInstruction,
  RunInstruction,
  ShellInstruction,
  Stage,
  Switch,
  ValueInstruction,
  Word,
  WorkdirInstruction,
} from './types.js';
