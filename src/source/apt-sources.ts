// Where this machine's apt gets Debian from. @see sources.list(5)
import { readdirSync, readFileSync } from 'node:fs';

interface Source {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

/**
 * What to tell mmdebstrap to get `suite` from where this machine gets its own packages: its lines for that suite with
 * updates and security, or the archive's address if it has another release. [] lets mmdebstrap use the public archive.
 */
export function aptMirrors(suite: string, etc = '/etc/apt'): string[] {
  const sources = readSources(etc);
  const same = sources.filter((source) => source.suite === suite || source.suite.startsWith(`${suite}-`));
  if (same.some((source) => source.suite === suite)) {
    return same.map(({ uri, suite: name, components }) => `deb ${uri} ${name} ${components.join(' ')}`);
  }
  const main = sources.find(
    (source) => source.components.includes('main') && /^[a-z]+$/.test(source.suite) && /\/debian\/?$/.test(source.uri),
  );
  return main === undefined ? [] : [main.uri];
}

function readSources(etc: string): Source[] {
  const parts = listed(`${etc}/sources.list.d`).sort();
  const files = [`${etc}/sources.list`, ...parts.map((name) => `${etc}/sources.list.d/${name}`)];
  return files.flatMap((path) => {
    const text = contents(path);
    if (path.endsWith('.sources')) return text.split(/\n\s*\n/).flatMap(stanzaSources);
    return path.endsWith('.list') ? text.split('\n').flatMap(lineSources) : [];
  });
}

/** 'deb [options] URI SUITE COMPONENT…' */
function lineSources(line: string): Source[] {
  const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
  if (match === null) return [];
  return [{ uri: match[1]!, suite: match[2]!, components: match[3]!.trim().split(/\s+/) }];
}

function stanzaSources(stanza: string): Source[] {
  const words = (field: string): string[] => {
    const value =
      new RegExp(`^${field}:((?:.*(?:\\n[ \\t].*)*))`, 'im').exec(stanza.replace(/^#.*\n?/gm, ''))?.[1] ?? '';
    return value.split(/\s+/).filter((word) => word !== '');
  };
  if (!words('Types').includes('deb') || words('Enabled')[0] === 'no') return [];
  const components = words('Components');
  return words('URIs').flatMap((uri) => words('Suites').map((suite) => ({ uri, suite, components })));
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function contents(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // not there, or not for us to read: then the public archive
  }
}
