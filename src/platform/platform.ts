// Platforms as people name them, the one of this machine, and the rule which base fits which target.
import { endianness, machine } from 'node:os';
import { architectures, formatPlatform, normalPlatform, operatingSystems, type Platform } from '#store';
import { BuildError, closest, type Span } from '../base/index.js';

/**
 * 'linux/amd64', 'amd64', 'x86_64', 'linux/arm64/v8', 'armhf', 'linux' (this machine's architecture), 'local' → normal form.
 *
 * @throws BuildError PLATFORM_INVALID
 */
export function parsePlatform(text: string, at?: Span): Platform {
  const parts = text.trim().toLowerCase().split('/');
  const [first = '', second, third] = parts;
  if (parts.length > 3 || parts.some((part) => !/^[a-z0-9_.-]+$/.test(part))) throw invalidPlatform(text, at);
  if (first === 'local' && parts.length === 1) return hostPlatform();
  const knownOs = operatingSystems.get(first);
  if (parts.length === 1 && knownOs !== undefined) return { ...hostPlatform(), os: knownOs };
  if (parts.length === 1) return knownPlatform('linux', first, undefined, text, at);
  if (knownOs !== undefined) return knownPlatform(knownOs, second!, third, text, at);
  if (parts.length === 2) return knownPlatform('linux', first, second, text, at); // 'arm/v7'
  throw invalidPlatform(text, at);
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(normalPlatform(a)) === formatPlatform(normalPlatform(b));
}

/** The platform whose programs this kernel runs natively. */
export function hostPlatform(): Platform {
  const name = machine();
  if (/^armv\d/.test(name)) return normalPlatform({ os: 'linux', architecture: 'arm', variant: `v${name[4]}` });
  const littleMips = name.startsWith('mips') && endianness() === 'LE'; // uname says 'mips64' for both byte orders
  return normalPlatform({ os: 'linux', architecture: littleMips ? `${name}le` : name });
}

/**
 * Refuses a base that a build for `wanted` can't stand on. The same architecture with an older variant is fine:
 * what runs on arm/v6 or amd64 runs on arm/v7 or amd64/v3.
 *
 * @throws BuildError ARCH_MISMATCH
 */
export function requirePlatform(
  base: { readonly ref: string; readonly platform: Platform; readonly at?: Span | undefined },
  wanted: Platform,
): void {
  const has = normalPlatform(base.platform);
  const target = normalPlatform(wanted);
  const fits = has.os === target.os && has.architecture === target.architecture;
  if (fits && variantLevel(has) <= variantLevel(target)) return;
  const [found, asked] = [formatPlatform(has), formatPlatform(target)];
  if (base.at === undefined) {
    throw new BuildError('ARCH_MISMATCH', {
      message: `${base.ref} is ${found}, asked for is ${asked}`,
      hint: `ask for it with --platform ${found}, or use an image that is published for ${asked}`,
    });
  }
  throw new BuildError('ARCH_MISMATCH', {
    message: `${base.ref} is ${found}, this build targets ${asked}`,
    hint: `pull ${base.ref} for ${asked}, or build with --platform ${found}`,
    at: base.at,
  });
}

function knownPlatform(
  os: string,
  architecture: string,
  variant: string | undefined,
  text: string,
  at: Span | undefined,
): Platform {
  if (!architectures.has(architecture)) throw invalidPlatform(text, at, architecture);
  if (variant !== undefined && !/^v?\d+(\.\d+)?$/.test(variant)) throw invalidPlatform(text, at);
  return normalPlatform(variant === undefined ? { os, architecture } : { os, architecture, variant });
}

function invalidPlatform(text: string, at: Span | undefined, unknown?: string): BuildError {
  const close = unknown === undefined ? undefined : closest(unknown, architectures.keys());
  const example = close === undefined ? '' : `did you mean ${close}? `;
  return new BuildError('PLATFORM_INVALID', {
    message:
      unknown === undefined
        ? `not a platform: ${JSON.stringify(text)}`
        : `unknown architecture ${unknown} in platform ${JSON.stringify(text)}`,
    hint: `${example}a platform is os/architecture[/variant], such as linux/amd64, linux/arm64 or linux/arm/v7`,
    at,
  });
}

function variantLevel(platform: Platform): number {
  const least = platform.architecture === 'arm64' ? 8 : 1;
  return platform.variant === undefined ? least : Number.parseFloat(platform.variant.slice(1)) || least;
}
