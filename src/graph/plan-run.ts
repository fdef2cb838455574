import { BuildError, closest } from '../base/index.js';
import type { CommandLine, RunInstruction } from '../buildfile/index.js';
import { shellOf } from './apply-config.js';
import { planMounts } from './mounts.js';
import { notSupported } from './refuse.js';
import { addHistory, envOf, lookupIn, type PlanContext, type StageState, stepName } from './stage-state.js';
import type { RunVertex, StepSandbox } from './types.js';
import { expandForDisplay } from './variables.js';

/** @throws BuildError MOUNT_INVALID, NOT_SUPPORTED, NOT_ALLOWED, FLAG_INVALID */
export function planRun(context: PlanContext, state: StageState, run: RunInstruction, onbuild: boolean): void {
  requireNoDevice(run);
  const { args, script, shown } = commandOf(state, run.command);
  const vertex = context.add({
    kind: 'run',
    name: stepName(state.steps, nameOf(context, state, run), onbuild),
    at: run.at,
    platform: state.platform,
    parent: state.vertex,
    args,
    script,
    env: [...state.env],
    argNames: argNames(state),
    hiddenEnv: context.hiddenEnv.filter(([name]) => !state.env.has(name)),
    cwd: state.config.WorkingDir || '/',
    user: state.config.User ?? '',
    mounts: planMounts(context, state, run.mounts),
    network: networkOf(run),
    security: securityOf(context, run),
    sandbox: sandboxOf(context),
  });
  state.vertex = vertex;
  addHistory(state, `RUN ${argsPrefix(state)}${shown.join(' ')} # buildkit`, vertex);
}

function requireNoDevice({ devices: [device] }: RunInstruction): void {
  if (device) throw notSupported('RUN --device', device.at);
}

const securities = ['sandbox', 'insecure'] as const;

function securityOf({ options }: PlanContext, { security }: RunInstruction): RunVertex['security'] {
  if (!security) return 'sandbox';
  const found = securities.find((name) => name === security.text);
  if (found === undefined) {
    const near = closest(security.text, securities);
    throw new BuildError('FLAG_INVALID', {
      message: `--security is sandbox or insecure, not ${JSON.stringify(security.text)}`,
      hint: near && `did you mean ${near}?`,
      at: security.at,
    });
  }
  if (found === 'insecure' && !options.entitlements?.has('security.insecure')) {
    throw new BuildError('NOT_ALLOWED', {
      message: 'this build does not allow RUN --security=insecure',
      hint: 'build with --allow security.insecure if you trust this step with all that a container of yours may do',
      at: security.at,
    });
  }
  return found;
}

const plainSandbox: StepSandbox = {
  hostname: null,
  extraHosts: [],
  ulimits: [],
  shmSizeBytes: null,
  cgroupParent: null,
};

/** BuildKit's own argument says what steps see as their host's name. */
function sandboxOf({ options }: PlanContext): StepSandbox {
  const sandbox = options.sandbox ?? plainSandbox;
  const hostname = options.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME');
  return hostname ? { ...sandbox, hostname } : sandbox;
}

const networks = ['default', 'none', 'host'] as const;

function networkOf({ network }: RunInstruction): RunVertex['network'] {
  if (!network) return 'default';
  const found = networks.find((name) => name === network.text);
  if (found) return found;
  const near = closest(network.text, networks);
  throw new BuildError('FLAG_INVALID', {
    message: `--network is default, none or host, not ${JSON.stringify(network.text)}`,
    hint: near && `did you mean ${near}?`,
    at: network.at,
  });
}

/** `shown`: the command in the history. */
function commandOf(
  state: StageState,
  command: CommandLine,
): Pick<RunVertex, 'args' | 'script'> & { shown: readonly string[] } {
  if (command.form === 'exec') return { args: command.args, script: null, shown: command.args };
  const shell = shellOf(state.config);
  const { script } = command;
  if (script?.content.startsWith('#!')) {
    return { args: [], script: script.content, shown: [...shell, `/dev/pipes/${script.name}`] };
  }
  // The shell gets a lone heredoc as its script, others as they stand, to read them itself.
  const bodies = command.heredocs.map(({ raw, name }) => `\n${raw}${name}`);
  const args = [...shell, script ? script.content : command.text + bodies.join('')];
  return { args, script: null, shown: args };
}

/** An ENV of the same name wins over an ARG. */
function argNames(state: StageState): string[] {
  if (state.args.size === 0) return [];
  const fromEnv = envOf(state.config);
  return [...state.args.keys()].filter((name) => state.env.has(name) && !fromEnv.has(name));
}

/** '|2 A=1 B= ' for the ARGs in scope. */
function argsPrefix(state: StageState): string {
  if (state.args.size === 0) return '';
  const texts = [...state.args].map(([name, value]) => `${name}=${state.env.get(name) ?? value ?? ''}`);
  return `|${texts.length} ${texts.join(' ')} `;
}

function nameOf(context: PlanContext, state: StageState, run: RunInstruction): string {
  const script = run.command.form === 'shell' ? run.command.script : null;
  const [first = '', ...more] = script?.content.trim().split(/\r?\n/) ?? [];
  const source = script ? `${run.source} (${first}${more.length > 0 ? '...' : ''})` : run.source;
  const text = source.replace(/^\S+/, 'RUN');
  return expandForDisplay(text, lookupIn(state), { ...context.expandOptions, rawQuotes: true, keepUnset: true });
}
