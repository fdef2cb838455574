// Answers --call: text and JSON in the forms of docker buildx.
import type { Store } from '#store';
import type { EventSink, SourceFile } from '../base/index.js';
import { type BuildRequest, checkBuild, listTargets, outlineBuild } from '../build/index.js';
import type { Outline, Target } from '../checks/index.js';
import type { Call } from './build-method.js';
import { checkJson, checkText } from './check-report.js';
import { Sources } from './source-lines.js';
import { table } from './table.js';

interface CallIo {
  readonly store: Store;
  readonly emit: EventSink;
  out(text: string): void;
}

/** @returns the exit code: 1 if a check is violated */
export async function answerCall(call: Call, request: BuildRequest, io: CallIo): Promise<number> {
  switch (call.method) {
    case 'check':
      return answerCheck(call, request, io);
    case 'outline': {
      const { file, outline } = await outlineBuild(request, io);
      io.out(call.format === 'json' ? json(outlineJson(file.file, outline)) : outlineText(outline));
      return 0;
    }
    case 'targets': {
      const { file, targets } = listTargets(request);
      io.out(call.format === 'json' ? json(targetsJson(file.file, targets)) : targetsText(targets));
      return 0;
    }
  }
}

/** @throws BuildError what would refuse the build, after the findings before it */
async function answerCheck({ format, ignoreStatus }: Call, request: BuildRequest, io: CallIo): Promise<number> {
  const report = await checkBuild(request, io);
  io.out(format === 'json' ? json(checkJson(request.buildfile, report)) : checkText(report));
  if (report.error !== null) throw report.error;
  return report.findings.length > 0 && !ignoreStatus ? 1 : 0;
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function targetsText(targets: readonly Target[]): string {
  const rows = targets.map(({ name, isDefault, description }) => {
    const mark = isDefault ? '(default)' : '';
    return [[name, mark].filter((part) => part !== '').join(' '), description];
  });
  return table(['TARGET', 'DESCRIPTION'], rows, ' ');
}

function targetsJson(main: SourceFile, targets: readonly Target[]): object {
  const sources = new Sources(main);
  return {
    targets: targets.map(({ name, isDefault, description, base, platform, at }) => ({
      ...filled({ name, default: isDefault, description, base, platform }),
      location: sources.locate(at),
    })),
    sources: sources.encoded(),
  };
}

function outlineText({ name, description, args, secrets, ssh, caches }: Outline): string {
  const required = (item: { name: string; required: boolean }): string[] => [item.name, item.required ? 'true' : ''];
  const tables = [
    ...(name === '' ? [] : [table(['TARGET:', name], description === '' ? [] : [['DESCRIPTION:', description]], ' ')]),
    ...list(['BUILD ARG', 'VALUE', 'DESCRIPTION'], args, (arg) => [arg.name, arg.value, arg.description]),
    ...list(['SECRET', 'REQUIRED'], secrets, required),
    ...list(['SSH', 'REQUIRED'], ssh, required),
    ...list(['CACHE'], caches, (cache) => [cache.name]),
  ];
  return tables.map((each) => `${each}\n`).join('');
}

/** Nothing for no items. */
function list<T>(header: readonly string[], items: readonly T[], row: (item: T) => readonly string[]): string[] {
  return items.length === 0 ? [] : [table(header, items.map(row))];
}

function outlineJson(main: SourceFile, { name, description, args, secrets, ssh, caches }: Outline): object {
  const sources = new Sources(main);
  const needed = ({ at, ...item }: Outline['secrets'][number]): object => ({
    ...filled(item),
    location: sources.locate(at),
  });
  return {
    ...filled({ name, description }),
    ...nonEmpty(
      'args',
      args.map(({ at, ...arg }) => ({ ...filled(arg), location: sources.locate(at) })),
    ),
    ...nonEmpty('secrets', secrets.map(needed)),
    ...nonEmpty('ssh', ssh.map(needed)),
    ...nonEmpty(
      'cache',
      caches.map((cache) => ({ ID: cache.name, location: sources.locate(cache.at) })),
    ),
    sources: sources.encoded(),
  };
}

/** Without what is empty, as Go leaves it out. */
function filled(values: Readonly<Record<string, string | boolean>>): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== '' && value !== false));
}

function nonEmpty(name: string, items: readonly object[]): object {
  return items.length === 0 ? {} : { [name]: items };
}
