/**
 * What one word of EXPOSE means: '80' → ['80/tcp'], '8000-8002/udp' → three. Null if it is no port.
 * Addresses and host ports ('127.0.0.1:80:80') are read, as docker does, and mean nothing.
 */
export function parsePorts(text: string): string[] | null {
  const parts = text.split(':');
  const host = parts.length > 1 ? parts.at(-2)! : '';
  const match = /^([^/]+)(?:\/(tcp|udp|sctp)?)?$/i.exec(parts.at(-1)!);
  const range = match && parseRange(match[1]!);
  if (!range || (host !== '' && !parseRange(host))) return null;
  const protocol = match[2]?.toLowerCase() ?? 'tcp';
  return Array.from({ length: range[1] - range[0] + 1 }, (_, i) => `${range[0] + i}/${protocol}`);
}

function parseRange(text: string): [first: number, last: number] | null {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!match) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return last > 0xffff || last < first ? null : [first, last];
}
