// A model of a cluster and its replicas, which execute the certificate policy.
import {
  canServe,
  planNextStep,
  type RotationRules,
  type Step,
} from '../../src/certificates/certificate-policy.ts';
import type {
  CaFacts,
  Lifetime,
  PublishedState,
  ServingCertificateFacts,
  StoredCertificateFacts,
} from '../../src/certificates/certificate-state.ts';

/** Seconds, in ms. */
export const secondMs = 1_000;
export const rules: RotationRules = {
  apiServerPropagationMs: 30 * secondMs,
  certificateLifetimeMs: 600 * secondMs,
  replicaPropagationMs: 60 * secondMs,
};
export const caLifetimeMs = 3_000 * secondMs;
const backdateMs = 300 * secondMs;

let issuedCount = 0;

function createLifetime(now: number, lifetimeMs: number): Lifetime {
  return { validFrom: now - backdateMs, issuedAt: now, expiresAt: now + lifetimeMs };
}

export function createCa(now: number, lifetimeMs = caLifetimeMs): CaFacts {
  issuedCount += 1;
  return { id: `ca-${issuedCount}`, ...createLifetime(now, lifetimeMs) };
}

export function createServingCertificate(ca: CaFacts | undefined, now: number): ServingCertificateFacts {
  issuedCount += 1;
  const expiresAt = Math.min(now + rules.certificateLifetimeMs, ca?.expiresAt ?? Number.POSITIVE_INFINITY);
  return {
    id: `serving-certificate-${issuedCount}`,
    issuerId: ca?.id,
    missingNames: [],
    ...createLifetime(now, expiresAt - now),
  };
}

/** The facts about a Secret with these certificates. */
export function createStoredState(
  caCertificates: readonly CaFacts[],
  servingCertificate: ServingCertificateFacts | undefined,
): StoredCertificateFacts {
  return {
    caCertificates,
    caProblem: caCertificates.length === 0 ? 'ca-missing' : undefined,
    servingCertificate,
    servingCertificateProblem: servingCertificate === undefined ? 'serving-certificate-missing' : undefined,
  };
}

/** A replica: what it serves, and since when it has observed each published CA. */
export interface ModelReplica {
  current: ServingCertificateFacts | undefined;
  ca: CaFacts | undefined;
  readonly since: Map<string, number>;
}

export function createModelReplica(): ModelReplica {
  return { current: undefined, ca: undefined, since: new Map() };
}

/** A cluster with a Secret and one webhook, in which the steps of the policy take no time. */
export class PolicyModel {
  now = 1_000_000 * secondMs;
  stored: StoredCertificateFacts | 'none' = 'none';
  /** The history of the caBundle, latest last. */
  readonly bundles: { readonly from: number; readonly ids: readonly string[] }[] = [{ from: 0, ids: [] }];
  /** All CAs that were issued. */
  readonly caCertificates = new Map<string, CaFacts>();
  readonly steps: Step[] = [];
  readonly #rules: RotationRules;

  constructor(rotationRules: RotationRules = rules) {
    this.#rules = rotationRules;
  }

  get bundle(): readonly string[] {
    return this.bundles.at(-1)?.ids ?? [];
  }

  /** The bundle known to an API server that lags by this long. */
  getBundleBefore(ms: number): readonly string[] {
    return this.bundles.findLast(({ from }) => from <= this.now - ms)?.ids ?? [];
  }

  publish(ids: readonly string[]): void {
    this.bundles.push({ from: this.now, ids });
  }

  addCas(...caCertificates: readonly CaFacts[]): void {
    for (const ca of caCertificates) {
      this.caCertificates.set(ca.id, ca);
    }
  }

  /** Executes one step of one replica. It observes the current state, because a write based on an older state is rejected. */
  reconcile(replica: ModelReplica): Step {
    const { stored, now } = this;
    const published = this.#publishedFor(replica);
    const next = stored === 'none' ? undefined : stored.servingCertificate;
    if (next !== undefined && next.id !== replica.current?.id) {
      if (canServe(replica.current, next, { published, now }, this.#rules)) {
        replica.current = next;
        replica.ca = this.caCertificates.get(next.issuerId ?? '');
      }
    }
    const otherCaCertificates = [
      ...(replica.ca === undefined ? [] : [replica.ca]),
      ...this.#findCas(this.bundle),
    ];
    const { step } = planNextStep(
      { stored, published, otherCaCertificates, served: replica.current, now },
      this.#rules,
    );
    this.steps.push(step);
    this.#execute(step, stored, replica.current);
    return step;
  }

  #execute(
    step: Step,
    before: StoredCertificateFacts | 'none',
    served: ServingCertificateFacts | undefined,
  ): void {
    const caCertificates = before === 'none' ? [] : before.caCertificates;
    const servingCertificate = before === 'none' ? undefined : before.servingCertificate;
    const newCa = createCa(this.now);
    this.addCas(newCa);
    switch (step.action) {
      case 'create':
        this.stored = createStoredState(
          [newCa, ...this.#findCas(step.keep)],
          createServingCertificate(newCa, this.now),
        );
        break;
      case 'issue-ca':
        this.stored = createStoredState([newCa, ...this.#findCas(step.keep)], servingCertificate);
        break;
      case 'issue-ca-and-restore-certificate':
        this.stored = createStoredState([newCa, ...this.#findCas(step.keep)], served);
        break;
      case 'restore-certificate':
        this.stored = createStoredState(caCertificates, served);
        break;
      case 'reissue-certificate':
        this.stored = createStoredState(
          caCertificates,
          createServingCertificate(caCertificates[0], this.now),
        );
        break;
      case 'remove-old-ca':
        this.stored = createStoredState(
          [...caCertificates.slice(0, 1), ...this.#findCas(step.keep)],
          servingCertificate,
        );
        break;
      case 'publish-ca-bundle':
        this.publish(caCertificates.filter(({ expiresAt }) => this.now <= expiresAt).map(({ id }) => id));
    }
  }

  #publishedFor({ since }: ModelReplica): PublishedState {
    const ids = this.bundle;
    for (const id of since.keys()) {
      if (!ids.includes(id)) {
        since.delete(id);
      }
    }
    for (const id of ids) {
      if (!since.has(id)) {
        since.set(id, this.now);
      }
    }
    const forMs = new Map([...since].map(([id, from]) => [id, this.now - from]));
    const known = ids.filter((id) => this.caCertificates.has(id));
    return { bundles: [{ ids: known, isMalformed: known.length < ids.length }], forMs };
  }

  #findCas(ids: readonly string[]): CaFacts[] {
    return ids.flatMap((id) => this.caCertificates.get(id) ?? []);
  }
}
