// Images as package URLs, as BuildKit writes them.
import { familiarName, formatPlatform, type Platform, parseReference } from '#store';

/** 'pkg:docker/debian@bookworm?platform=linux%2Famd64'. @see purl-spec, PURL-TYPES "docker" */
export function packageUrl(name: string, platform: Platform): string {
  const { digest, tag, ...reference } = parseReference(name);
  const full = familiarName({ ...reference, tag: 'x' }).replace(/:x$/, '');
  const path = full.split('/').map(encodeURIComponent).join('/');
  const qualifiers = [
    ...(digest === undefined ? [] : [`digest=${digest}`]),
    `platform=${encodeURIComponent(formatPlatform(platform))}`,
  ];
  return `pkg:docker/${path}${tag === undefined ? '' : `@${encodeURIComponent(tag)}`}?${qualifiers.join('&')}`;
}
