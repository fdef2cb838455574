// NoEmptyContinuation, MaintainerDeprecated: what the text of a file may not have.
import type { Found, Subject } from './finding.js';

export function* noEmptyContinuation({ file }: Subject): Iterable<Found> {
  for (const at of file.emptyContinuations) {
    yield {
      rule: 'NoEmptyContinuation',
      message: 'Empty continuation line',
      at,
      instruction: null,
      hint: 'remove the line, or make it a comment',
    };
  }
}

export function* maintainerDeprecated({ file }: Subject): Iterable<Found> {
  for (const { instructions } of file.stages) {
    for (const instruction of instructions) {
      if (instruction.keyword !== 'MAINTAINER') continue;
      yield {
        rule: 'MaintainerDeprecated',
        message: 'Maintainer instruction is deprecated in favor of using label',
        at: instruction.at,
        instruction,
        hint: `write LABEL org.opencontainers.image.authors=${JSON.stringify(instruction.value.text)}`,
      };
    }
  }
}
