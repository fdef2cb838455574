// One measurement in a process of its own, bundled as the command line is: what a person's build pays, with nothing
// compiled or cached by an earlier run. Prints milliseconds.
//   parse N | plan N | scan DIR CACHE
import { parseBuildfile } from '../../src/buildfile/index.js';
import { openContext } from '../../src/context/index.js';
import { planBuild, requiredBases } from '../../src/graph/index.js';
import { parsePlatform } from '../../src/platform/index.js';
import { diamond, manyLines } from './buildfiles.js';

const [what, argument = '', cache = null] = process.argv.slice(2);

async function main(): Promise<number> {
  if (what === 'scan') return scan(argument, cache);
  const count = Number(argument);
  return what === 'parse' ? parse(manyLines(count)) : plan(diamond(count));
}

function parse(text: string): number {
  const started = performance.now();
  parseBuildfile({ name: 'Buildfile', text });
  return performance.now() - started;
}

/** Of a file that is parsed already. */
function plan(text: string): number {
  const file = parseBuildfile({ name: 'Buildfile', text });
  const platform = { os: 'linux', architecture: 'amd64' };
  const none = new Map<string, never>();
  const options = {
    ...{ target: undefined, buildArgs: none, labels: none, contexts: none },
    ...{ platform, buildPlatform: platform, parsePlatform },
  };
  const started = performance.now();
  if (requiredBases(file, options).length > 0) throw new Error('a base is wanted');
  planBuild(file, options, new Map());
  return performance.now() - started;
}

async function scan(dir: string, statCacheFile: string | null): Promise<number> {
  const started = performance.now();
  const context = await openContext(dir, { ignore: null, statCacheFile });
  const files = await context.walk('' as never);
  await context.digests(files.filter((file) => file.type === 'file'));
  const ms = performance.now() - started;
  context.save();
  return ms;
}

main().then((ms) => console.log(ms.toFixed(2)));
