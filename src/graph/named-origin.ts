import { type Instruction, mountFrom, type Word } from '../buildfile/index.js';

/** A stage, image or context by the name that an instruction gives it. */
export interface NamedOrigin {
  /** What names it, for messages. */
  readonly flag: '--from' | 'from';
  readonly word: Word;
}

/** What an instruction names, besides the main context. */
export function namedOrigins(instruction: Instruction): NamedOrigin[] {
  switch (instruction.keyword) {
    case 'COPY':
    case 'ADD':
      return instruction.from && instruction.from.text !== '' ? [{ flag: '--from', word: instruction.from }] : [];
    case 'RUN':
      return instruction.mounts.flatMap((mount) => {
        const word = mountFrom(mount);
        return word === null ? [] : [{ flag: 'from' as const, word }];
      });
    default:
      return [];
  }
}
