import { decide, mayServe, type PolicyRules, type Step } from '../../src/certificates/certificate-policy.ts';
import type {
  AuthorityFacts,
  LeafFacts,
  Life,
  Published,
  StoredFacts,
} from '../../src/certificates/certificate-state.ts';

/** Seconds, in ms. */
export const s = 1_000;
export const rules: PolicyRules = { settleMs: 30 * s, leafLifeMs: 600 * s, spreadMs: 60 * s };
export const authorityLifeMs = 3_000 * s;
const backdateMs = 300 * s;

let made = 0;

function life(now: number, lifeMs: number): Life {
  return { beginsAt: now - backdateMs, issuedAt: now, endsAt: now + lifeMs };
}

export function newAuthority(now: number, lifeMs = authorityLifeMs): AuthorityFacts {
  made += 1;
  return { id: `authority-${made}`, ...life(now, lifeMs) };
}

export function newLeaf(authority: AuthorityFacts | undefined, now: number): LeafFacts {
  made += 1;
  const endsAt = Math.min(now + rules.leafLifeMs, authority?.endsAt ?? Number.POSITIVE_INFINITY);
  return { id: `leaf-${made}`, authority: authority?.id, lacks: [], ...life(now, endsAt - now) };
}

/** A Secret that holds these. */
export function holding(authorities: readonly AuthorityFacts[], leaf: LeafFacts | undefined): StoredFacts {
  return {
    authorities,
    authorityProblem: authorities.length === 0 ? 'authority-missing' : undefined,
    leaf,
    leafProblem: leaf === undefined ? 'leaf-missing' : undefined,
  };
}

/** One process: what it serves, and since when it has seen which CA published. */
export interface Replica {
  current: LeafFacts | undefined;
  authority: AuthorityFacts | undefined;
  readonly since: Map<string, number>;
}

export function newReplica(): Replica {
  return { current: undefined, authority: undefined, since: new Map() };
}

/** A cluster with a Secret and one webhook, and the steps of the policy done to it in no time. */
export class World {
  now = 1_000_000 * s;
  stored: StoredFacts | 'none' = 'none';
  /** The caBundle as it was, with the time from which on; the latest last. */
  readonly bundles: { readonly from: number; readonly ids: readonly string[] }[] = [{ from: 0, ids: [] }];
  /** Every CA that ever was. */
  readonly authorities = new Map<string, AuthorityFacts>();
  readonly steps: Step[] = [];
  readonly #rules: PolicyRules;

  constructor(theirs: PolicyRules = rules) {
    this.#rules = theirs;
  }

  get bundle(): readonly string[] {
    return this.bundles.at(-1)?.ids ?? [];
  }

  /** What an API server knows that is so much behind. */
  bundleAgo(ms: number): readonly string[] {
    return this.bundles.findLast(({ from }) => from <= this.now - ms)?.ids ?? [];
  }

  publish(ids: readonly string[]): void {
    this.bundles.push({ from: this.now, ids });
  }

  know(...authorities: readonly AuthorityFacts[]): void {
    for (const authority of authorities) this.authorities.set(authority.id, authority);
  }

  /** One step of one replica; it sees what is there now, since a write from an older sight is refused. */
  look(replica: Replica): Step {
    const { stored, now } = this;
    const published = this.#publishedFor(replica);
    const next = stored === 'none' ? undefined : stored.leaf;
    if (next !== undefined && next.id !== replica.current?.id) {
      if (mayServe(replica.current, next, { published, now }, this.#rules)) {
        replica.current = next;
        replica.authority = this.authorities.get(next.authority ?? '');
      }
    }
    const elsewhere = [
      ...(replica.authority === undefined ? [] : [replica.authority]),
      ...this.#known(this.bundle),
    ];
    const { step } = decide({ stored, published, elsewhere, served: replica.current, now }, this.#rules);
    this.steps.push(step);
    this.#do(step, stored, replica.current);
    return step;
  }

  #do(step: Step, before: StoredFacts | 'none', served: LeafFacts | undefined): void {
    const authorities = before === 'none' ? [] : before.authorities;
    const leaf = before === 'none' ? undefined : before.leaf;
    const made = newAuthority(this.now);
    this.know(made);
    switch (step.action) {
      case 'create':
        this.stored = holding([made, ...this.#known(step.keep)], newLeaf(made, this.now));
        break;
      case 'new-authority':
        this.stored = holding([made, ...this.#known(step.keep)], leaf);
        break;
      case 'recover':
        this.stored = holding([made, ...this.#known(step.keep)], served);
        break;
      case 'restore-leaf':
        this.stored = holding(authorities, served);
        break;
      case 'reissue-leaf':
        this.stored = holding(authorities, newLeaf(authorities[0], this.now));
        break;
      case 'drop-old-authority':
        this.stored = holding([...authorities.slice(0, 1), ...this.#known(step.keep)], leaf);
        break;
      case 'publish':
        this.publish(authorities.filter(({ endsAt }) => this.now <= endsAt).map(({ id }) => id));
    }
  }

  #publishedFor({ since }: Replica): Published {
    const ids = this.bundle;
    for (const id of since.keys()) if (!ids.includes(id)) since.delete(id);
    for (const id of ids) if (!since.has(id)) since.set(id, this.now);
    const forMs = new Map([...since].map(([id, from]) => [id, this.now - from]));
    const known = ids.filter((id) => this.authorities.has(id));
    return { bundles: [{ ids: known, garbled: known.length < ids.length }], forMs };
  }

  #known(ids: readonly string[]): AuthorityFacts[] {
    return ids.flatMap((id) => this.authorities.get(id) ?? []);
  }
}
