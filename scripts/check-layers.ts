// Holds every import against layers.json: a folder imports only what its row says, other folders by their index, no cycles.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

/** Violations as lines 'file: message'; empty when the tree keeps the rules. */
export function checkLayers(root: string): string[] {
  const rules: Record<string, string[]> = JSON.parse(readFileSync(join(root, 'layers.json'), 'utf8'));
  const units = Object.keys(rules);
  const unitOf = (path: string): string | undefined =>
    units.filter((unit) => path === unit || path.startsWith(`${unit}/`)).sort((a, b) => b.length - a.length)[0];
  const problems: string[] = [];
  const imports = new Map<string, string[]>();

  for (const file of ['native', 'store', 'src'].flatMap((top) => sources(root, top))) {
    const from = unitOf(file);
    if (from === undefined) {
      problems.push(`${file}: in no folder of layers.json`);
      continue;
    }
    const targets: string[] = [];
    for (const specifier of importsOf(readFileSync(join(root, file), 'utf8'))) {
      const target = resolveImport(file, specifier);
      if (target === null) continue;
      targets.push(target);
      const to = unitOf(target);
      if (to === from) continue;
      if (to === undefined || !rules[from]?.includes(to))
        problems.push(`${file}: ${from} must not import ${to ?? target}`);
      else if (target !== to && target !== `${to}/index.ts`)
        problems.push(`${file}: import ${to} by its index, not ${target}`);
    }
    imports.set(file, targets);
  }
  return [...problems, ...cycles(imports)];
}

function sources(root: string, dir: string): string[] {
  return readdirSync(join(root, dir)).flatMap((name) => {
    const path = join(dir, name);
    if (name === 'node_modules' || name === 'build') return [];
    if (statSync(join(root, path)).isDirectory()) return sources(root, path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

/** Module specifiers of static, type-only, re-exporting and dynamic imports. */
function importsOf(text: string): string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'|import\s*\(\s*'([^']+)'\s*\)|(?:^|\n)\s*import\s*'([^']+)'/g;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function resolveImport(file: string, specifier: string): string | null {
  if (specifier === '#native') return 'native/index.ts';
  if (specifier === '#store') return 'store/index.ts';
  if (!specifier.startsWith('.')) return null;
  return normalize(join(dirname(file), specifier)).replace(/\.js$/, '.ts');
}

function cycles(imports: ReadonlyMap<string, string[]>): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (file: string, trail: string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push(`${file}: import cycle ${[...trail.slice(trail.indexOf(file)), file].join(' -> ')}`);
      return;
    }
    state.set(file, 'open');
    for (const next of imports.get(file) ?? []) visit(next, [...trail, file]);
    state.set(file, 'done');
  };
  for (const file of imports.keys()) visit(file, []);
  return found;
}

if (process.argv[1] && relative(process.argv[1], new URL(import.meta.url).pathname) === '') {
  const problems = checkLayers(process.argv[2] ?? '.');
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
