import { isIP } from 'node:net';

/**
 * What one word of EXPOSE means: '80' → ['80/tcp'], '8000-8002/udp' → three. Null if it is no port.
 * Addresses and host ports ('127.0.0.1:80:80') are read, as docker does, and mean nothing.
 */
export function parsePorts(text: string): string[] | null {
  const parts = text.split(':');
  const [host = '', container = ''] = parts.length > 1 ? parts.slice(-2) : ['', text];
  const match = /^([^/]+)(?:\/(tcp|udp|sctp)?)?$/i.exec(container);
  const range = match && parseRange(match[1]!);
  if (!range || !isHostPort(host, range) || !isAddress(parts.slice(0, -2).join(':'))) return null;
  const protocol = match[2]?.toLowerCase() ?? 'tcp';
  return Array.from({ length: range[1] - range[0] + 1 }, (_, i) => `${range[0] + i}/${protocol}`);
}

/** A range of host ports is as long as that of the container's ports, unless that is one port. */
function isHostPort(text: string, [first, last]: readonly [number, number]): boolean {
  if (text === '') return true;
  const range = parseRange(text);
  return range !== null && (first === last || range[1] - range[0] === last - first);
}

function isAddress(text: string): boolean {
  return text === '' || isIP(text.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

function parseRange(text: string): [first: number, last: number] | null {
  const match = /^0*(\d{1,5})(?:-0*(\d{1,5}))?$/.exec(text);
  if (!match) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return last > 0xffff || last < first ? null : [first, last];
}
