// DuplicateStageName, ReservedStageName.
import { lineAndColumn } from '../base/index.js';
import type { FromInstruction } from '../buildfile/index.js';
import type { Found, Subject } from './finding.js';

export function* duplicateStageName({ file }: Subject): Iterable<Found> {
  const first = new Map<string, FromInstruction>();
  for (const { from } of file.stages) {
    const { name, as } = from;
    if (name === null || as === null) continue;
    const other = first.get(name);
    if (other === undefined) {
      first.set(name, from);
      continue;
    }
    const { line } = lineAndColumn(other.at.file, other.at.start);
    yield {
      rule: 'DuplicateStageName',
      message: `Duplicate stage name ${JSON.stringify(name)}, stage names should be unique`,
      at: as.name.at,
      instruction: from,
      hint: `${other.at.file.name}:${line} has that name already: whoever uses it below this line gets this stage`,
    };
  }
}

export function* reservedStageName({ file }: Subject): Iterable<Found> {
  for (const { from } of file.stages) {
    if (from.as === null || (from.name !== 'scratch' && from.name !== 'context')) continue;
    yield {
      rule: 'ReservedStageName',
      message: `Stage name should not use the same name as reserved stage ${JSON.stringify(from.name)}`,
      at: from.as.name.at,
      instruction: from,
      hint: 'give the stage another name',
    };
  }
}
