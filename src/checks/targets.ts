// --call=targets: the stages that --target may name.
import type { Span } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import { descriptionOf } from './descriptions.js';

export interface Target {
  /** '' for a stage without a name. */
  readonly name: string;
  readonly description: string;
  /** Built where no target is named. */
  readonly isDefault: boolean;
  /** As written. */
  readonly base: string;
  readonly platform: string;
  readonly at: Span;
}

export function targetsOf(file: Buildfile): Target[] {
  return file.stages.map(({ index, from }) => ({
    name: from.name ?? '',
    description: from.name === null ? '' : descriptionOf(file, from, from.name),
    isDefault: index === file.stages.length - 1,
    base: from.base.text,
    platform: from.platform?.text ?? '',
    at: from.at,
  }));
}
