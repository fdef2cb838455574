// Executables for another machine than the image's: said, or refused, as --arch-policy wants it.
import { displayPath } from '#native';
import type { CommittedLayer } from '#store';
import { BuildError } from '../base/index.js';
import type { Vertex } from '../graph/index.js';
import { type ForeignExecutable, foreignExecutables, formatPlatform, recordLayer } from '../platform/index.js';
import type { Job } from './job.js';

/** Keeps what the layer's programs are for, and says when some are for another machine than the image's. */
export function reportLayer(job: Job, vertex: Vertex, { layer, heads }: CommittedLayer): void {
  recordLayer(layer, heads);
  reportForeign(job, vertex, foreignExecutables(heads, vertex.platform));
}

export function reportForeign({ request, io }: Job, vertex: Vertex, foreign: readonly ForeignExecutable[]): void {
  const [first] = foreign;
  if (first === undefined || request.archPolicy === 'allow') return;
  const more = foreign.length > 1 ? ` and ${foreign.length - 1} more` : '';
  const message = `/${displayPath(first.path)} is for ${first.machine}${more}; the image is for ${formatPlatform(vertex.platform)}`;
  const code = 'ARCH_FOREIGN_EXECUTABLE';
  if (request.archPolicy === 'refuse') {
    const hint = `take the file for ${formatPlatform(vertex.platform)}, or build with --arch-policy=warn`;
    throw new BuildError(code, { message, hint, at: vertex.at });
  }
  const hint = '--arch-policy=refuse makes this an error, --arch-policy=allow silences it';
  io.emit({ type: 'warning', code, message, at: vertex.at, hint });
}
