// What is wrong with a COPY --from or a mount's from=, told with the stages' names and lines.
import { BuildError, lineAndColumn, type Span } from '../base/index.js';
import type { Buildfile, Word } from '../buildfile/index.js';
import { namedOrigins } from './named-origin.js';

export function noSuchNumber(file: Buildfile, word: Word): BuildError {
  const count = file.stages.length;
  return new BuildError('STAGE_NOT_FOUND', {
    message: `there is no stage ${word.text}: ${file.file.name} has ${count}, numbered from 0`,
    hint: 'names are safer than numbers: FROM … AS NAME',
    at: word.at,
  });
}

export function notEarlier(file: Buildfile, word: Word, user: number, index: number): BuildError {
  const name = word.text;
  if (index === user) {
    return new BuildError('STAGE_CYCLE', {
      message: `stage ${name} takes files from itself`,
      hint: 'to use files of its own base, give the base a stage of its own and copy from that',
      at: word.at,
    });
  }
  const way = wayBetween(file, index, user);
  if (way) {
    return new BuildError('STAGE_CYCLE', {
      message: `stages need each other: ${[user, ...way].map((stage) => nameOf(file, stage)).join(' → ')}`,
      hint: 'move what both need into a stage before them',
      at: word.at,
    });
  }
  return new BuildError('STAGE_ORDER', {
    message: `stage ${name} begins later, at ${placeOf(file.stages[index]!.from.at, word.at)}`,
    hint: `move stage ${name} above this one: a stage can only use earlier ones`,
    at: word.at,
  });
}

/** 'line 7', with the file's name where it is another than the reader looks at. */
function placeOf(at: Span, seenFrom: Span): string {
  const { line } = lineAndColumn(at.file, at.start);
  return at.file.name === seenFrom.file.name ? `line ${line}` : `${at.file.name}:${line}`;
}

/** The stages by which `from` needs `to`, both included; null if it doesn't. By names only: enough for a message. */
function wayBetween(file: Buildfile, from: number, to: number): number[] | null {
  const cameFrom = new Map<number, number>([[from, -1]]);
  for (const stage of cameFrom.keys()) {
    if (stage === to) {
      const way: number[] = [];
      for (let at = to; at >= 0; at = cameFrom.get(at)!) way.unshift(at);
      return way;
    }
    for (const next of namedBy(file, stage)) if (!cameFrom.has(next)) cameFrom.set(next, stage);
  }
  return null;
}

function namedBy(file: Buildfile, index: number): number[] {
  const { from, instructions } = file.stages[index]!;
  const copies = instructions.flatMap(namedOrigins).map(({ word }) => word.text);
  const found = copies.map((name) =>
    /^\d+$/.test(name) ? Number(name) : file.stages.findLastIndex((stage) => stage.from.name === name.toLowerCase()),
  );
  const base = file.stages.findLastIndex(
    (stage) => stage.index < index && stage.from.name === from.base.text.toLowerCase(),
  );
  return [base, ...found].filter((each) => each >= 0 && each < file.stages.length);
}

function nameOf(file: Buildfile, index: number): string {
  return file.stages[index]?.from.name ?? `stage-${index}`;
}
