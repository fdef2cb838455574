// Who may do what in which repository.
import { StoreError } from '../errors.js';

export type Action = 'pull' | 'push' | 'delete';

/** Who a request is from. */
export interface Identity {
  /** Null: nobody in particular. */
  readonly user: string | null;
  /** What a token allows, by the repository's full name; undefined: all that its user may. */
  readonly granted?: ReadonlyMap<string, ReadonlySet<Action>> | undefined;
}

/** 'ci:team/**:pull,push': one user's rights in the repositories that the pattern matches. */
export interface AccessRule {
  /** '*': whoever has a name; 'anonymous': everybody. */
  readonly user: string;
  readonly pattern: RegExp;
  readonly actions: ReadonlySet<Action>;
}

const allActions: readonly Action[] = ['pull', 'push', 'delete'];

/** @throws StoreError SERVE_RULE_INVALID */
export function parseAccessRule(text: string): AccessRule {
  const [user = '', pattern = '', actions = '', ...more] = text.split(':');
  const named = actions === '*' ? allActions : actions.split(',');
  const isValid =
    user !== '' &&
    /^[a-z0-9._*/-]+$/.test(pattern) &&
    more.length === 0 &&
    named.every((each) => (allActions as readonly string[]).includes(each));
  if (isValid) return { user, pattern: globOf(pattern), actions: new Set(named as Action[]) };
  throw new StoreError('SERVE_RULE_INVALID', {
    message: `${JSON.stringify(text)} is no rule of access`,
    hint: "write USER:REPOSITORY:ACTIONS, as in 'ci:team/**:pull,push' or 'anonymous:public/*:pull'",
  });
}

/** '*' stands for one component or a part of it, '**' for any number of them. */
function globOf(pattern: string): RegExp {
  const words = pattern.split(/(\*+)/).map((word) => {
    if (word === '*') return '[^/]*';
    return word.startsWith('*') ? '.*' : word.replace(/[.\\+?^${}()|[\]]/g, '\\$&');
  });
  return new RegExp(`^${words.join('')}$`);
}

/**
 * Without rules, whoever is known may do everything; where nobody can be known, so may everybody.
 *
 * @param rules null: there are none
 */
export function mayDo(
  rules: readonly AccessRule[] | null,
  knowsUsers: boolean,
  user: string | null,
  action: Action,
  name: string,
): boolean {
  const isAllowed = rules?.some(
    (rule) =>
      (rule.user === 'anonymous' || rule.user === user || (rule.user === '*' && user !== null)) &&
      rule.actions.has(action) &&
      rule.pattern.test(name),
  );
  if (isAllowed) return true;
  // Rules for everybody take nothing away from those who have a name.
  const hasOwnRules = rules?.some((rule) => rule.user !== 'anonymous') ?? false;
  return !hasOwnRules && (user !== null || !knowsUsers);
}
