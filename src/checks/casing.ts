// StageNameCasing, FromAsCasing, ConsistentInstructionCasing.
import { type AnyInstruction, type Found, type Subject, written } from './finding.js';

export function* stageNameCasing({ file }: Subject): Iterable<Found> {
  for (const { from } of file.stages) {
    const name = from.as?.name;
    if (name === undefined || isLower(name.text)) continue;
    yield {
      rule: 'StageNameCasing',
      message: `Stage name '${name.text}' should be lowercase`,
      at: name.at,
      instruction: from,
      hint: `write ${name.text.toLowerCase()}; names of stages are the same in any case`,
    };
  }
}

export function* fromAsCasing({ file }: Subject): Iterable<Found> {
  for (const { from } of file.stages) {
    const as = from.as?.keyword;
    const keyword = written(from);
    if (as === undefined || !isConsistent(keyword)) continue; // another rule tells of a 'From'
    const fitting = isLower(keyword) ? as.text.toLowerCase() : as.text.toUpperCase();
    if (as.text === fitting) continue;
    yield {
      rule: 'FromAsCasing',
      message: `'${as.text}' and '${keyword}' keywords' casing do not match`,
      at: as.at,
      instruction: from,
      hint: `write ${fitting}`,
    };
  }
}

export function* consistentInstructionCasing({ file }: Subject): Iterable<Found> {
  const all: AnyInstruction[] = file.stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  let lower = 0;
  let upper = 0;
  for (const instruction of all) {
    const keyword = written(instruction);
    if (isLower(keyword)) lower++;
    else if (isUpper(keyword)) upper++;
  }
  const majority = lower > upper ? 'lowercase' : 'uppercase';
  for (const instruction of all) {
    const keyword = written(instruction);
    const fitting = majority === 'lowercase' ? keyword.toLowerCase() : keyword.toUpperCase();
    if (keyword === fitting) continue;
    const { file: within, start } = instruction.at;
    yield {
      rule: 'ConsistentInstructionCasing',
      message: `Command '${keyword}' should match the case of the command majority (${majority})`,
      at: { file: within, start, end: start + keyword.length },
      instruction,
      hint: `write ${fitting}`,
    };
  }
}

function isConsistent(text: string): boolean {
  return isLower(text) || isUpper(text);
}

function isLower(text: string): boolean {
  return text === text.toLowerCase();
}

function isUpper(text: string): boolean {
  return text === text.toUpperCase();
}
