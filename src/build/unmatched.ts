import type { EventSink } from '../base/index.js';
import type { CopyPlan } from '../executor/index.js';
import type { CopyVertex } from '../graph/index.js';

/** Wildcards may find nothing, as optional files do; an instruction that copies nothing at all is worth a line. */
export function reportUnmatched({ instruction }: CopyVertex, { unmatched }: CopyPlan, emit: EventSink): void {
  if (unmatched === null) return;
  emit({
    type: 'warning',
    code: 'COPY_MATCHED_NOTHING',
    message: `${instruction} copies nothing: no file matches ${unmatched.pattern}`,
    at: unmatched.at,
    hint: 'check the pattern, and that .dockerignore does not exclude the files it means',
  });
}
