// Steps as the history knows them.
import type { DiffId } from '#store';
import type { KnownStep } from '../../src/explain/index.js';
import type { KeyParts, StepDefinition } from '../../src/solver/index.js';

export const layer = (name: string): DiffId => `sha256:${name}` as DiffId;

export function knownStep(parts: Partial<KeyParts> = {}): KnownStep {
  const plain: KeyParts = {
    keyVersion: 2,
    platform: { os: 'linux', architecture: 'amd64' },
    stack: 'stack',
    does: { kind: 'copy' },
    inputs: {},
  };
  return { record: { ...plain, ...parts }, files: null };
}

type Run = Extract<StepDefinition, { kind: 'run' }>;

export function runStep({ stack = 'stack', ...does }: Partial<Run> & { stack?: string } = {}): KnownStep {
  const plain: Run = {
    kind: 'run',
    args: ['/bin/sh', '-c', 'make'],
    script: null,
    env: [],
    cwd: '/',
    user: '',
    network: 'default',
    security: 'sandbox',
    sandbox: {},
    mounts: [],
  };
  return knownStep({ stack, does: { ...plain, ...does } });
}
