// WorkdirRelativePath.
import { placeOf, type StepRule } from './finding.js';
import { expandRecording } from './recorded.js';

/** Remembers which stages have set their working directory: only the first WORKDIR of a chain of them matters. */
export function workdirRelativePath(): StepRule {
  const settled = new Set<number>();
  return function* (step, { file }) {
    const { instruction, stage, parent, env } = step;
    if (instruction.keyword !== 'WORKDIR') return;
    const isSettled = settled.has(stage.index) || (parent !== null && settled.has(parent));
    settled.add(stage.index);
    const { text } = expandRecording(instruction.value.text, env, { escapeChar: file.escapeChar });
    if (isSettled || text === null || text.startsWith('/')) return;
    yield {
      rule: 'WorkdirRelativePath',
      message: `Relative workdir ${JSON.stringify(text)} can have unexpected results if the base image changes`,
      at: placeOf(step, instruction.value.at),
      instruction,
      hint: 'write an absolute path',
    };
  };
}
