import type { Life } from '../tokens/token.ts';
import type { Wanted } from './content.ts';
import type { KnownSecret } from './view.ts';

/** What a host needs in a namespace's Secret, as far as that is known. */
export type Need =
  /** Its token is fresh. */
  | 'nothing'
  /** Its token is good enough for a pod that starts now, but due for renewal. */
  | 'renewal'
  /** It has no token, or none that lives long enough. */
  | 'token'
  /** It is not among the Secret's hosts, and there is no room for more. */
  | 'room';

export interface NeedRules {
  readonly maxHosts: number;
  isFresh(life: Life): boolean;
  isUsable(life: Life): boolean;
}

/** @param secret what is known of the namespace's Secret; undefined: there is none, or nobody knows */
export function needOf(host: string, secret: KnownSecret | undefined, rules: NeedRules): Need {
  const life = secret?.hosts.get(host);
  if (life !== undefined && rules.isUsable(life)) {
    return rules.isFresh(life) ? 'nothing' : 'renewal';
  }
  const full = secret !== undefined && secret.hosts.size >= rules.maxHosts && !secret.hosts.has(host);
  return full ? 'room' : 'token';
}

/** Whether a Secret already holds or names all that is wanted, so that there is nothing to write. */
export function reflects(secret: KnownSecret | undefined, wanted: Wanted, rules: NeedRules): boolean {
  return (
    secret?.ours === true &&
    [...wanted].every(([host, token]) =>
      token === undefined ? secret.hosts.has(host) : needOf(host, secret, rules) === 'nothing',
    )
  );
}
