import type { PlanOptions } from './options.js';

/** A named context, under the name it was given. */
export interface FoundContext {
  readonly name: string;
  readonly kind: 'directory' | 'image' | 'stage';
  readonly ref?: string;
  readonly stage?: string;
}

/** The named context called so. Names of images are compared as people write them: without registry and ':latest'. */
export function findContext(options: PlanOptions, name: string): FoundContext | undefined {
  const wanted = familiar(name);
  if (wanted === 'scratch' || wanted === 'context') return undefined;
  for (const [given, context] of options.contexts) if (familiar(given) === wanted) return { name: given, ...context };
  return undefined;
}

function familiar(name: string): string {
  return name
    .toLowerCase()
    .replace(/^docker\.io\/(library\/)?/, '')
    .replace(/:latest$/, '');
}
