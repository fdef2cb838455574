// Where files come from, as people say it: 'base image debian:bookworm', 'COPY at Buildfile:7'.
import type { DiffId } from '#store';
import { lineAndColumn } from '../base/index.js';
import type { SolvedVertices } from '../solver/index.js';
import type { Job } from './job.js';

export function originOfLayer(job: Job, diffId: DiffId | undefined, solved: SolvedVertices): string {
  for (const vertex of job.graph.vertices) {
    const result = solved.get(vertex.id);
    if (diffId === undefined || !result) continue;
    if (vertex.kind === 'base' ? result.stack.includes(diffId) : result.layer === diffId)
      return originOfVertex(job, vertex.id);
  }
  return 'an earlier layer';
}

/** What COPY --from takes files from: 'stage build', 'base image debian:bookworm'. */
export function sourceOfVertex(job: Job, id: number): string {
  const vertex = job.graph.vertices[id];
  const stage = vertex?.kind === 'base' ? null : /^\[(\S+) +\d+\/\d+\]/.exec(vertex?.name ?? '')?.[1];
  return stage ? `stage ${stage}` : originOfVertex(job, id);
}

function originOfVertex(job: Job, id: number): string {
  const vertex = job.graph.vertices[id];
  if (vertex === undefined) return 'an earlier step';
  if (vertex.kind === 'base') return vertex.base === null ? 'scratch' : `base image ${job.bases.get(vertex.base)?.ref}`;
  const { file, start } = vertex.at;
  const keyword = vertex.kind === 'copy' ? vertex.instruction : vertex.kind === 'run' ? 'RUN' : 'WORKDIR';
  return `${keyword} at ${file.name}:${lineAndColumn(file, start).line}`;
}
