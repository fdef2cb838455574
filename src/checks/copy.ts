// CopyIgnoredFile.
import { posix } from 'node:path';
import type { IgnoreMatcher } from '../base/index.js';
import { placeOf, type StepRule } from './finding.js';
import { expandRecording } from './recorded.js';

/** @param ignore the context's ignore file, read when the first COPY asks; null if there is none */
export function copyIgnoredFile(ignore: () => IgnoreMatcher | null): StepRule {
  let matcher: IgnoreMatcher | null | undefined;
  return function* (step, { file }) {
    const { instruction, env } = step;
    if ((instruction.keyword !== 'COPY' && instruction.keyword !== 'ADD') || instruction.from?.text) return;
    for (const word of instruction.sources) {
      const { text } = expandRecording(word.text, env, { escapeChar: file.escapeChar });
      if (text === null || isRemote(text)) continue;
      if (matcher === undefined) matcher = ignore();
      // Whether what a pattern takes back is what is copied can't be told without looking at the files.
      if (matcher === null || matcher.takesBack) return;
      const path = posix.join('/', text).replace(/(.)\/$/, '$1');
      if (path === '/' ? !matcher.ignoresAll : !matcher.ignores(path.slice(1))) continue;
      const shown = path === '/' ? '.' : path.slice(1);
      yield {
        rule: 'CopyIgnoredFile',
        message: `Attempting to ${instruction.keyword === 'ADD' ? 'Add' : 'Copy'} file ${JSON.stringify(shown)} that is excluded by .dockerignore`,
        at: placeOf(step, word.at),
        instruction,
        hint: "the build won't find it: copy something else, or change .dockerignore",
      };
    }
  };
}

function isRemote(source: string): boolean {
  return /^(https?:|git:|ssh:|[\w.-]+@[\w.-]+:)/i.test(source);
}
