// Bearer tokens: signed, short-lived, for some actions in some repositories. The key is this process's own, so that a token dies
// with it; clients then ask for another one. @see Docker's token authentication specification, scope.md
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Action, Identity } from './access.js';

export const tokenLifeMs = 300_000;
const header = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url');

interface Claims {
  readonly sub: string | null;
  readonly aud: string;
  /** Seconds. */
  readonly exp: number;
  readonly iat: number;
  /** Repositories by their full names. */
  readonly access: readonly { readonly name: string; readonly actions: readonly Action[] }[];
}

export class Tokens {
  readonly #key = randomBytes(32);
  readonly #service: string;

  constructor(service: string) {
    this.#service = service;
  }

  issue({ user, granted = new Map() }: Identity): string {
    const now = Math.floor(Date.now() / 1000);
    const claims: Claims = {
      sub: user,
      aud: this.#service,
      iat: now,
      exp: now + tokenLifeMs / 1000,
      access: [...granted].map(([name, actions]) => ({ name, actions: [...actions] })),
    };
    const body = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    return `${body}.${this.#sign(body)}`;
  }

  /** Null for a token that is not ours, or is no longer good. */
  read(token: string): Identity | null {
    const dot = token.lastIndexOf('.');
    const body = token.slice(0, dot);
    const given = Buffer.from(token.slice(dot + 1));
    const right = Buffer.from(this.#sign(body));
    if (dot < 0 || given.length !== right.length || !timingSafeEqual(given, right)) return null;
    const claims = JSON.parse(Buffer.from(body.split('.')[1] ?? '', 'base64url').toString()) as Claims;
    const now = Date.now() / 1000;
    if (now >= claims.exp || now < claims.iat - 60) return null;
    return { user: claims.sub, granted: new Map(claims.access.map(({ name, actions }) => [name, new Set(actions)])) };
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#key).update(body).digest('base64url');
  }
}
