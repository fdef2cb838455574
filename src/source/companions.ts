// Files that a program can't do without although nothing in it names them: the library of an interpreter, the prefix of
// a program that doesn't live in the system's own.
import { globbed } from './glob-directories.js';

/** Directories that come along with the program at `path` (realpath). */
export function companionsOf(path: string): string[] {
  const prefix = ownPrefixes.map((pattern) => pattern.exec(path)?.[0]).find((found) => found !== undefined);
  const libraries = interpreterLibraries.flatMap(([program, ...directories]) => {
    const match = program.exec(path);
    if (match === null) return [];
    return directories.map((dir) => dir.replace(/\$(\d)/g, (_, group) => match[Number(group)] ?? ''));
  });
  return [...(prefix === undefined ? [] : [prefix]), ...globbed(libraries)];
}

/** What a package's installation made beyond the files in it. */
export function packageCompanions(name: string): string[] {
  return name === 'ca-certificates' ? globbed(['/etc/ssl/certs']) : [];
}

/** Not needed to run anything: tests, editors and link libraries inside libraries; what the machine's user installed for Python. */
export function isLeftOut(path: string): boolean {
  return /\/python\d[^/]*\/(test|idlelib|turtledemo|config-[^/]*|dist-packages|site-packages)$/.test(path);
}

const ownPrefixes = [
  /^.*\/node_modules\/(@[^/]+\/)?[^/]+(?=\/)/,
  /^.*\/versions\/([^/]+\/)?[^/]+(?=\/bin\/)/, // pyenv, nvm
  /^\/opt\/[^/]+(?=\/)/,
  /^\/usr\/lib\/jvm\/[^/]+(?=\/)/,
  /^\/usr\/lib\/(?!node_modules\/|jvm\/|[a-z0-9_]+-linux-gnu)[^/]+(?=\/)/,
];

const interpreterLibraries: readonly (readonly [program: RegExp, ...directories: string[]])[] = [
  [/^(.*)\/bin\/python(\d\.\d+)$/, '$1/lib/python$2'],
  [/^\/usr\/bin\/perl[\d.]*$/, '/usr/lib/*/perl-base', '/usr/lib/*/perl/*', '/usr/share/perl/*'],
  [/^\/usr\/bin\/ruby[\d.]*$/, '/usr/lib/ruby', '/usr/lib/*/ruby'],
  [/^\/usr\/bin\/git$/, '/usr/lib/git-core', '/usr/share/git-core'],
];
