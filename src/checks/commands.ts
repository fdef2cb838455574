// JSONArgsRecommended, MultipleInstructionsDisallowed.
import type { Instruction } from '../buildfile/index.js';
import type { PlanStep } from '../graph/index.js';
import { type Found, placeOf, type StepRule, written } from './finding.js';

export function* jsonArgsRecommended(step: PlanStep): Iterable<Found> {
  const { instruction, shell } = step;
  if (instruction.keyword !== 'CMD' && instruction.keyword !== 'ENTRYPOINT') return;
  const { command } = instruction;
  if (command.form === 'exec' || shell.length > 0) return;
  yield {
    rule: 'JSONArgsRecommended',
    message: `JSON arguments recommended for ${written(instruction)} to prevent unintended behavior related to OS signals`,
    at: placeOf(step, instruction.at),
    instruction,
    hint: asJson(instruction.keyword, command.text),
  };
}

/** The same in JSON form, where words are all that the command consists of. */
function asJson(keyword: string, text: string): string {
  const isPlain = /^[\w@%+=:,./ -]+$/.test(text) && !/^\w+=/.test(text) && text.length < 200;
  if (!isPlain) return 'name a shell with SHELL if the command needs one, else write it as a JSON array';
  return `write ${keyword} [${text
    .split(/ +/)
    .map((word) => JSON.stringify(word))
    .join(', ')}]`;
}

/** Remembers what each stage has had. */
export function multipleInstructions(): StepRule {
  const lastOf = new Map<string, { step: PlanStep; instruction: Instruction }>();
  return function* (step) {
    const { instruction, stage } = step;
    const key = `${stage.index} ${instruction.keyword}`;
    const before = lastOf.get(key);
    lastOf.set(key, { step, instruction });
    if (before === undefined) return;
    yield {
      rule: 'MultipleInstructionsDisallowed',
      message: `Multiple ${written(instruction)} instructions should not be used in the same stage because only the last one will be used`,
      at: placeOf(before.step, before.instruction.at),
      instruction: before.instruction,
      hint: 'remove it: a later one of the stage replaces it',
    };
  };
}
