import { setTimeout as wait } from 'node:timers/promises';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { type Authority, bundleOf, Publications } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import { decide, mayServe, type PolicyRules, type Step } from './certificate-policy.ts';
import { type Leaf, readStored, type Stored } from './certificate-secret.ts';
import type { Seen } from './certificate-state.ts';
import { isRoutine, words } from './certificate-state.ts';
import { type CertificateStore, type Found, isForeign } from './certificate-store.ts';
import type { CertificatePair } from './key-pair.ts';
import { contentAfter, type MakingRules } from './renew-content.ts';

export interface KeeperParts {
  readonly store: CertificateStore;
  readonly rules: MakingRules & PolicyRules;
  /** Serves another pair than before; false: it could not be done. */
  serve(pair: CertificatePair): boolean;
  /** Something that a person has to see to, though the work goes on. */
  onProblem(error: Error): void;
  now(): number;
  /** A clock in ms that is never set. */
  steady(): number;
  readonly log: Log;
}

/** Everything as it is now. */
interface Sight {
  readonly found: Found;
  readonly stored: Stored | undefined;
  readonly seen: Seen;
  readonly known: ReadonlyMap<string, Authority>;
}

/** A change of CA takes five steps; more than this in a row get us nowhere. */
const mostSteps = 12;

/** Replicas cannot lose a race more often in a row than there are of them. */
const mostLost = 6;

/** Two replicas whose clocks differ by a CA's life would make CAs in turn, for ever: so many are made in so many ms. */
const mostMade = { times: 3, inMs: 15_000 };

const lostTheRace: ReadonlySet<string> = new Set(['conflict', 'invalid']);

/** Keeps Secret and caBundle in a good state, and says what is to be served. */
export class Keeper {
  readonly #parts: KeeperParts;
  readonly #publications = new Publications();
  #current: { readonly leaf: Leaf; readonly authority: Authority | undefined } | undefined;
  #madeAt: readonly number[] = [];
  #everWell = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /** What is served; undefined before the first look that found or made a pair. */
  get current(): CertificatePair | undefined {
    return this.#current?.leaf.pair;
  }

  /**
   * Looks at everything, and does what is to be done, until nothing is.
   * @param signal ends it after the step that is under way
   * @returns when to look again, ms since the epoch
   * @throws KubeError, CertificateError
   */
  async look(signal: AbortSignal): Promise<number> {
    let lost = 0;
    for (let steps = 0; steps < mostSteps && !signal.aborted; steps += 1) {
      const sight = await this.#see();
      this.#serve(sight);
      const { step, lookAgainAt } = decide(sight.seen, this.#parts.rules);
      if (step.action === 'nothing') return this.#rest(step, lookAgainAt);
      if (this.#tooOften(step)) return sight.seen.now + mostMade.inMs / mostMade.times;
      try {
        await this.#act(step, sight);
      } catch (error) {
        lost += 1;
        if (!(error instanceof KubeError) || !lostTheRace.has(error.code) || lost > mostLost) throw error;
        await wait(backoffMs(apiServerBackoff, lost, Math.random()));
      }
    }
    return this.#parts.now();
  }

  async #see(): Promise<Sight> {
    const { store, rules, now, steady, onProblem } = this.#parts;
    const found = await store.find();
    const { secret, configuration } = found;
    const unreadable = configuration instanceof Error;
    if (unreadable) onProblem(configuration);
    const { published, authorities } = this.#publications.note(
      unreadable ? 'unknown' : configuration?.caBundles,
      steady(),
    );
    const foreign = secret !== undefined && isForeign(secret);
    const stored = secret === undefined || foreign ? undefined : readStored(secret.data ?? {}, rules.names);
    const served = this.#current?.authority;
    const elsewhere = [...(served === undefined ? [] : [served]), ...authorities];
    const known = new Map(
      [...elsewhere, ...(stored?.authorities ?? [])].map((authority) => [authority.id, authority]),
    );
    const seen = {
      stored: stored ?? (foreign ? 'foreign' : 'none'),
      published,
      elsewhere,
      served: this.#current?.leaf,
      now: now(),
    } as const;
    return { found, stored, seen, known };
  }

  #serve({ stored, seen, known }: Sight): void {
    const leaf = stored?.leaf;
    const current = this.#current?.leaf;
    if (leaf === undefined || leaf.id === current?.id) return;
    if (!mayServe(current, leaf, seen, this.#parts.rules)) return;
    if (!this.#parts.serve(leaf.pair)) return;
    this.#current = { leaf, authority: known.get(leaf.authority ?? '') };
  }

  #rest(step: Step, lookAgainAt: number): number {
    if (step.reason === 'foreign-secret') {
      throw new CertificateError(
        'foreign-secret',
        'the Secret for the certificates was made by somebody else, and is left as it is: delete it, or set certificates.secretName to another name, or certificates.source to files',
      );
    }
    this.#everWell = true;
    return lookAgainAt;
  }

  #tooOften(step: Step): boolean {
    const now = this.#parts.steady();
    this.#madeAt = this.#madeAt.filter((at) => now - at < mostMade.inMs);
    return makesAuthority(step) && this.#madeAt.length >= mostMade.times;
  }

  async #act(step: Exclude<Step, { action: 'nothing' }>, { found, stored, known }: Sight): Promise<void> {
    const { store, rules, now } = this.#parts;
    if (step.action !== 'publish') {
      await store.write(
        found,
        await contentAfter(step, { stored, served: this.current, known }, rules, now()),
      );
    } else if (found.configuration !== undefined && !(found.configuration instanceof Error)) {
      const living = (stored?.authorities ?? []).filter(({ endsAt }) => now() <= endsAt);
      await store.publish(found.configuration, bundleOf(living));
    }
    if (makesAuthority(step)) this.#madeAt = [...this.#madeAt, this.#parts.steady()];
    this.#tell(step);
  }

  /** What mends is a warning, but not while all is new. */
  #tell({ action, reason }: Exclude<Step, { action: 'nothing' }>): void {
    const level = isRoutine(reason) || !this.#everWell ? 'info' : 'warn';
    this.#parts.log[level]({ action, reason }, `certificates: ${done[action]}, because ${words[reason]}`);
  }
}

function makesAuthority({ action }: Step): boolean {
  return action === 'create' || action === 'new-authority' || action === 'recover';
}

const done = {
  create: 'a new CA and a new certificate were made',
  'new-authority': 'a new CA was made',
  recover: 'a new CA was made, and the certificate in use was stored again',
  'restore-leaf': 'the certificate in use was stored again',
  'reissue-leaf': 'a new certificate was made',
  'drop-old-authority': 'old CAs were dropped',
  publish: 'the CAs were put into the webhook configuration',
} as const;
