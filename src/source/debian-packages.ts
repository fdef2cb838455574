// Packages that this machine has installed, as dpkg knows them. A machine without dpkg has none.
import { execFileSync } from 'node:child_process';

/** Files (not directories) of an installed package that programs may need; null if it is not installed. */
export function packageFiles(name: string): string[] | null {
  const list = dpkgQuery(['-L', name]);
  if (list === null) return null;
  // other lines ('package diverts others to: …') don't begin with '/'
  return list.split('\n').filter((line) => line.startsWith('/') && line !== '/.' && !documentation.test(line));
}

/** The package and everything that it depends on, as far as installed, in order of name. */
export function packageClosure(name: string): string[] {
  const installed = installedPackages();
  const closure = new Set<string>();
  const visit = (wanted: string): void => {
    for (const found of installed.get(wanted) ?? []) {
      if (closure.has(found.name) || configurationTools.has(found.name)) continue;
      closure.add(found.name);
      found.needs.forEach(visit);
    }
  };
  visit(name);
  return [...closure].sort();
}

export function packageNames(): string[] {
  return [...installedPackages().keys()];
}

interface Package {
  readonly name: string;
  readonly needs: readonly string[];
}

/** By name, and by the virtual names that they provide. */
function installedPackages(): ReadonlyMap<string, readonly Package[]> {
  const format = `\${db:Status-Status}\\t\${Package}\\t\${Pre-Depends}, \${Depends}\\t\${Provides}\\n`;
  const packages = new Map<string, Package[]>();
  for (const line of (dpkgQuery(['-W', `-f=${format}`]) ?? '').split('\n')) {
    const [status, name = '', depends = '', provides = ''] = line.split('\t');
    if (status !== 'installed') continue;
    // of alternatives ('a | b') those that are installed come
    const entry: Package = { name, needs: packageWords(depends) };
    packages.set(name, [entry]);
    for (const virtual of packageWords(provides)) packages.set(virtual, packages.get(virtual) ?? [entry]);
  }
  return packages;
}

/** The names in 'libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any'. */
function packageWords(field: string): string[] {
  return field.split(/[,|]/).flatMap((item) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(item)?.[1] ?? []);
}

function dpkgQuery(args: readonly string[]): string | null {
  try {
    return execFileSync('dpkg-query', args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return null; // no dpkg here, or no such package
  }
}

const documentation = /^\/usr\/share\/(doc|man|info|locale|lintian|bug|menu|doc-base|bash-completion|reportbug)(\/|$)/;

/** They set other packages up at installation; in a root that is made of installed files nothing is left to set up. */
const configurationTools = new Set(['debconf', 'cdebconf', 'dpkg', 'ucf', 'init-system-helpers', 'libc6', 'libc-bin']);
