// Instructions that only change the image's config.
import { BuildError, closest } from '../base/index.js';
import type {
  ArgInstruction,
  CommandInstruction,
  HealthcheckInstruction,
  Instruction,
  ListInstruction,
  PairsInstruction,
  ValueInstruction,
  Word,
} from '../buildfile/index.js';
import { healthcheckText, plainList, quotedList } from './created-by.js';
import { parsePorts } from './ports.js';
import { isSignal, signalNames } from './signals.js';
import { addHistory, lookupIn, type MutableConfig, type PlanContext, type StageState } from './stage-state.js';
import { expand, expandToWords, isForScanners } from './variables.js';

/** Instructions that make no files. */
export type ConfigInstruction = Exclude<Instruction, { keyword: 'RUN' | 'COPY' | 'ADD' | 'WORKDIR' }>;

export function applyConfig(context: PlanContext, state: StageState, instruction: ConfigInstruction): void {
  switch (instruction.keyword) {
    case 'ENV':
    case 'LABEL':
      applyPairs(context, state, instruction);
      break;
    case 'ARG':
      applyArg(context, state, instruction);
      break;
    case 'CMD':
    case 'ENTRYPOINT':
      applyCommand(state, instruction);
      break;
    case 'EXPOSE':
      applyExpose(context, state, instruction);
      break;
    case 'VOLUME':
      applyVolume(context, state, instruction);
      break;
    case 'USER':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      applyValue(context, state, instruction);
      break;
    case 'SHELL':
      state.config.Shell = instruction.args;
      addHistory(state, `SHELL ${plainList(instruction.args)}`, null);
      break;
    case 'HEALTHCHECK':
      applyHealthcheck(state, instruction);
      break;
    case 'ONBUILD': // no history: BuildKit writes none
      state.config.OnBuild = [...(state.config.OnBuild ?? []), instruction.text];
      break;
  }
}

function applyPairs(context: PlanContext, state: StageState, { keyword, pairs }: PairsInstruction): void {
  const lookup = lookupIn(state);
  // All are expanded before any is set: `ENV a=1 b=$a` takes the a from before.
  const expanded = pairs.map(({ name, value }) => {
    const key = expand(name, lookup, context.expandOptions);
    if (key === '') throw new BuildError('ARGUMENTS_INVALID', { message: `this name is empty here`, at: name.at });
    return [key, expand(value, lookup, context.expandOptions)] as const;
  });
  addHistory(state, `${keyword} ${expanded.map(([name, value]) => `${name}=${value}`).join(' ')}`, null);
  if (keyword === 'LABEL') {
    for (const [name, value] of expanded) state.labels.set(name, value);
    return;
  }
  for (const [name, value] of expanded) {
    const env = state.config.Env ?? [];
    const at = env.findIndex((entry) => entry === name || entry.startsWith(`${name}=`));
    state.config.Env = at < 0 ? [...env, `${name}=${value}`] : env.with(at, `${name}=${value}`);
    state.env.set(name, value);
  }
}

function applyArg(context: PlanContext, state: StageState, { args }: ArgInstruction): void {
  const texts = args.map(({ name, value }) => {
    const given = context.options.buildArgs.get(name);
    const set =
      given ??
      (value ? expand(value, lookupIn(state), context.expandOptions) : undefined) ??
      context.globals.get(name) ??
      null;
    state.args.set(name, set ?? state.args.get(name) ?? null);
    if (set !== null && !isForScanners(name)) state.env.set(name, set);
    return set === null ? name : `${name}=${set}`;
  });
  addHistory(state, `ARG ${texts.join(' ')}`, null);
}

function applyCommand(state: StageState, { keyword, command }: CommandInstruction): void {
  const args = command.form === 'exec' ? command.args : [...shellOf(state.config), command.text];
  if (keyword === 'CMD') {
    setList(state.config, 'Cmd', args);
    state.config.ArgsEscaped = true; // BuildKit sets it for every CMD, and for no ENTRYPOINT
    state.cmdGiven = true;
  } else {
    setList(state.config, 'Entrypoint', args);
    if (!state.cmdGiven) delete state.config.Cmd;
  }
  addHistory(state, `${keyword} ${quotedList(args)}`, null);
}

/** Runs the commands of the shell forms. */
export function shellOf(config: MutableConfig): readonly string[] {
  return config.Shell?.length ? config.Shell : ['/bin/sh', '-c'];
}

function setList(config: MutableConfig, key: 'Cmd' | 'Entrypoint', args: readonly string[]): void {
  if (args.length > 0) config[key] = args;
  else delete config[key];
}

function applyExpose(context: PlanContext, state: StageState, { words }: ListInstruction): void {
  const sorted = words.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  const ports = sorted.flatMap((word) =>
    expandToWords(word, lookupIn(state), context.expandOptions).flatMap((text) => {
      const parsed = parsePorts(text);
      if (parsed) return parsed;
      throw new BuildError('PORT_INVALID', {
        message: `${JSON.stringify(text)} is no port`,
        hint: 'a port is a number up to 65535 or a range, perhaps with /tcp, /udp or /sctp, as in 8000-8010/udp',
        at: word.at,
      });
    }),
  );
  const all = [...Object.keys(state.config.ExposedPorts ?? {}), ...ports];
  state.config.ExposedPorts = sortedRecord(all.map((port) => [port, {}]));
  addHistory(state, `EXPOSE ${plainList(ports)}`, null);
}

function applyVolume(context: PlanContext, state: StageState, { words }: ListInstruction): void {
  const paths = words.map((word) => {
    const path = expand({ text: word.text.trim(), at: word.at }, lookupIn(state), context.expandOptions);
    if (path !== '') return path;
    throw new BuildError('ARGUMENTS_INVALID', { message: 'the path of a VOLUME is empty here', at: word.at });
  });
  const all = [...Object.keys(state.config.Volumes ?? {}), ...paths];
  state.config.Volumes = sortedRecord(all.map((path) => [path, {}]));
  addHistory(state, `VOLUME ${plainList(paths)}`, null);
}

function applyValue(context: PlanContext, state: StageState, { keyword, value }: ValueInstruction): void {
  // MAINTAINER is taken as it stands.
  const text = keyword === 'MAINTAINER' ? value.text : expand(value, lookupIn(state), context.expandOptions);
  if (keyword === 'MAINTAINER') state.author = text;
  else if (keyword === 'USER') state.config.User = text;
  else {
    requireSignal(text, value);
    state.config.StopSignal = text;
  }
  addHistory(state, `${keyword} ${text}`, null);
}

function requireSignal(text: string, { at }: Word): void {
  if (isSignal(text)) return;
  const near = closest(text, signalNames());
  throw new BuildError('SIGNAL_INVALID', {
    message: `${JSON.stringify(text)} is no signal`,
    hint: near ? `did you mean ${near}?` : 'name it as in SIGTERM, or by its number',
    at,
  });
}

function applyHealthcheck(state: StageState, check: HealthcheckInstruction): void {
  const { test, intervalNs, timeoutNs, startPeriodNs, startIntervalNs, retries } = check;
  state.config.Healthcheck = {
    Test: test,
    ...(intervalNs > 0 && { Interval: intervalNs }),
    ...(timeoutNs > 0 && { Timeout: timeoutNs }),
    ...(startPeriodNs > 0 && { StartPeriod: startPeriodNs }),
    ...(startIntervalNs > 0 && { StartInterval: startIntervalNs }),
    ...(retries > 0 && { Retries: retries }),
  };
  addHistory(state, `HEALTHCHECK ${healthcheckText(state.config.Healthcheck)}`, null);
}

/** Keys in byte order, as other builders write their JSON; of equal keys the last. */
export function sortedRecord<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries([...new Map(entries)].sort(([a], [b]) => (a < b ? -1 : 1)));
}
