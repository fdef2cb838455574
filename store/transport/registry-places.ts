// Where an image's name leads, by the rules of registries.conf. Pure.
import { StoreError } from '../errors.js';
import { parseReference } from '../image/reference.js';
import type { MirrorRule, RegistryRule } from './registries-conf.js';

export interface RegistryPlace {
  readonly registry: string;
  readonly repository: string;
}

export interface PullPlace extends RegistryPlace {
  readonly insecure: boolean;
  readonly takes: MirrorRule['takes'];
}

/**
 * The places to ask for images of a repository, in order: mirrors, then where its name leads.
 *
 * @throws StoreError REGISTRY_BLOCKED, REGISTRIES_CONF_INVALID
 */
export function pullPlaces(place: RegistryPlace, rules: readonly RegistryRule[]): PullPlace[] {
  const rule = ruleFor(place, rules);
  if (rule === null) return [{ ...place, insecure: false, takes: 'all' }];
  const { location, insecure } = rule;
  return [...rule.mirrors, { location, insecure, takes: 'all' as const }].map((each) => ({
    ...moved(place, rule, each.location),
    insecure: each.insecure,
    takes: each.takes,
  }));
}

/** Pushes go where the name says, as podman's do. @throws StoreError REGISTRY_BLOCKED */
export function pushPlace(place: RegistryPlace, rules: readonly RegistryRule[]): PullPlace {
  return { ...place, insecure: ruleFor(place, rules)?.insecure ?? false, takes: 'all' };
}

/** That with the longest prefix. */
function ruleFor(place: RegistryPlace, rules: readonly RegistryRule[]): RegistryRule | null {
  const name = nameOf(place);
  let best: { rule: RegistryRule; length: number } | null = null;
  for (const rule of rules) {
    const length = matchedLength(name, rule.prefix);
    if (length > (best?.length ?? 0)) best = { rule, length };
  }
  if (best?.rule.blocked) {
    throw new StoreError('REGISTRY_BLOCKED', {
      message: `${name} is below ${best.rule.prefix}, which ${best.rule.path} blocks`,
      hint: 'use another registry, or have blocked = true taken out there',
    });
  }
  return best?.rule ?? null;
}

function nameOf({ registry, repository }: RegistryPlace): string {
  return `${registry}/${repository}`;
}

/** How much of the name the prefix stands for; 0 where it does not match. '*.example.com' stands for a host below it. */
function matchedLength(name: string, prefix: string): number {
  if (prefix.startsWith('*.')) {
    const [, host = ''] = /^([^/:]+)/.exec(name) ?? [];
    const [, wantedHost = '', rest = ''] = /^\*(\.[^/:]+)(.*)$/.exec(prefix) ?? [];
    const matches = host.endsWith(wantedHost) && name.slice(host.length).startsWith(rest);
    return matches && endsAt(name, host.length + rest.length) ? host.length + rest.length : 0;
  }
  return name.startsWith(prefix) && endsAt(name, prefix.length) ? prefix.length : 0;
}

function endsAt(name: string, at: number): boolean {
  return at === name.length || name[at] === '/' || name[at] === ':';
}

function moved(place: RegistryPlace, rule: RegistryRule, location: string): RegistryPlace {
  if (location === '') return place;
  const name = `${location}${nameOf(place).slice(matchedLength(nameOf(place), rule.prefix))}`;
  try {
    const { registry, repository } = parseReference(name);
    if (name.startsWith(registry)) return { registry, repository };
  } catch {
    // Told below.
  }
  throw new StoreError('REGISTRIES_CONF_INVALID', {
    message: `${rule.path}: location ${JSON.stringify(location)} makes ${JSON.stringify(name)} of ${nameOf(place)}, which is no image name`,
    hint: 'a location is HOST[:PORT][/NAMESPACE]',
  });
}
