// Platform names as people, registries and uname(2) write them → one normal form.
import type { Platform } from '../words.js';

/** What an image config or index entry says, in normal form; words nobody knows stay as they are. */
export function normalPlatform(platform: Platform): Platform {
  const os = operatingSystems.get(platform.os.toLowerCase()) ?? platform.os.toLowerCase();
  const name = platform.architecture.toLowerCase();
  const [architecture, ownVariant] = architectures.get(name) ?? [name, undefined];
  const variant = normalVariant(architecture, platform.variant?.toLowerCase() || ownVariant);
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** 'linux/arm/v7'. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
}

/** Variants that every machine of the architecture has are left out; 'arm' alone means v7, as everywhere in the OCI world. */
function normalVariant(architecture: string, variant: string | undefined): string | undefined {
  const prefixed = variant !== undefined && /^\d/.test(variant) ? `v${variant}` : variant;
  if (architecture === 'arm') return prefixed ?? 'v7';
  if (architecture === 'arm64' && (prefixed === 'v8' || prefixed === 'v8.0')) return undefined;
  if (architecture === 'amd64' && prefixed === 'v1') return undefined;
  return prefixed;
}

/** Every spelling → Go's name. */
export const operatingSystems: ReadonlyMap<string, string> = new Map([
  ['linux', 'linux'],
  ['windows', 'windows'],
  ['darwin', 'darwin'],
  ['macos', 'darwin'],
  ['freebsd', 'freebsd'],
]);

/** Every spelling (Go, uname, Debian, GNU) → Go's name and the variant that the spelling implies. */
export const architectures: ReadonlyMap<string, readonly [string, string?]> = new Map<
  string,
  readonly [string, string?]
>([
  ['amd64', ['amd64']],
  ['x86_64', ['amd64']],
  ['x86-64', ['amd64']],
  ['x64', ['amd64']],
  ['386', ['386']],
  ['i386', ['386']],
  ['i486', ['386']],
  ['i586', ['386']],
  ['i686', ['386']],
  ['x86', ['386']],
  ['arm64', ['arm64']],
  ['aarch64', ['arm64']],
  ['arm', ['arm']],
  ['armhf', ['arm', 'v7']],
  ['armv7', ['arm', 'v7']],
  ['armv7l', ['arm', 'v7']],
  ['armv6', ['arm', 'v6']],
  ['armv6l', ['arm', 'v6']],
  ['armel', ['arm', 'v6']],
  ['armv5', ['arm', 'v5']],
  ['armv8l', ['arm', 'v8']],
  ['ppc64le', ['ppc64le']],
  ['ppc64el', ['ppc64le']],
  ['powerpc64le', ['ppc64le']],
  ['ppc64', ['ppc64']],
  ['powerpc64', ['ppc64']],
  ['ppc', ['ppc']],
  ['s390x', ['s390x']],
  ['riscv64', ['riscv64']],
  ['mips64le', ['mips64le']],
  ['mips64el', ['mips64le']],
  ['mips64', ['mips64']],
  ['mipsle', ['mipsle']],
  ['mipsel', ['mipsle']],
  ['mips', ['mips']],
  ['loong64', ['loong64']],
  ['loongarch64', ['loong64']],
]);
