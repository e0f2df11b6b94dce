// A replica whose rules, facts, tokens and clock a property test controls.
import { PassThrough } from 'node:stream';
import type { HostIdentityResolver } from '../../../src/ecr/identity.ts';
import { IdentityFactsCache } from '../../../src/ecr/identity-facts-cache.ts';
import { createIdentityResolver, type IdentityRule } from '../../../src/ecr/identity-rules.ts';
import { resolveRegistries } from '../../../src/ecr/registry.ts';
import type { Token } from '../../../src/ecr/token.ts';
import { TokenError } from '../../../src/ecr/token-error.ts';
import { createPullSecrets, type PullSecrets } from '../../../src/pull-secrets/ensure.ts';
import { createTokenRules } from '../../../src/pull-secrets/host-needs.ts';
import { SecretCache } from '../../../src/pull-secrets/secret-cache.ts';
import type { SecretStore } from '../../../src/pull-secrets/secret-store.ts';
import type { Due, PlanRules } from '../../../src/renewal/plan-types.ts';
import { planNamespace } from '../../../src/renewal/renewal-plan.ts';
import { createJsonLog } from '../../../src/telemetry/log.ts';
import { registryOfHost, resolveRegistry } from '../../support/registries.ts';
import { fakeToken, hourMs } from '../pull-secret-fixtures.ts';
import type { PendingCalls } from './pending-calls.ts';

const freshness = { fraction: 0.5, floorMs: hourMs };

export interface IdentityReplicaOptions {
  readonly name: string;
  readonly calls: PendingCalls;
  readonly store: SecretStore;
  /** The wall clock in ms; the monotonic clock shows the same. */
  now(): number;
}

export class IdentityReplica {
  readonly secretCache: SecretCache;
  readonly secrets: PullSecrets;
  readonly facts: IdentityFactsCache;
  readonly #options: IdentityReplicaOptions;
  #rules: readonly IdentityRule[];
  #resolve: ReturnType<typeof createIdentityResolver>;
  #startedAt: number;
  #issued = 0;

  constructor(options: IdentityReplicaOptions, rules: readonly IdentityRule[]) {
    const { store, now } = options;
    this.#options = options;
    this.facts = new IdentityFactsCache(now);
    this.#rules = rules;
    this.#resolve = createIdentityResolver(rules, this.facts);
    this.#startedAt = now();
    this.secretCache = new SecretCache(resolveRegistry, now);
    this.secrets = createPullSecrets({
      ...{ store, secretCache: this.secretCache, resolveRegistry },
      hasSynced: () => true,
      getToken: (namespace, { host }) => this.#fetchToken(namespace, host),
      fetchNewToken: (namespace, { host }) => this.#fetchToken(namespace, host),
      lastError: () => undefined,
      rules: createTokenRules({
        ...{ freshness, maxHosts: 200, identityOf: this.identityOf, now },
        identityKnownSince: (namespace) => Math.max(this.#startedAt, this.facts.changedAt(namespace) ?? 0),
      }),
      maxWaitMs: 600_000,
      log: createJsonLog('silent', new PassThrough()),
      countWrite: () => undefined,
    });
  }

  readonly identityOf: HostIdentityResolver = (namespace, host) =>
    this.#resolve(namespace, registryOfHost(host));

  get rules(): readonly IdentityRule[] {
    return this.#rules;
  }

  /** Applies other rules, as a restart does. */
  setRules(rules: readonly IdentityRule[]): void {
    if (rules === this.#rules) {
      return;
    }
    this.#rules = rules;
    this.#resolve = createIdentityResolver(rules, this.facts);
    this.#startedAt = this.#options.now();
  }

  /** What renewal would do now in a namespace. */
  plan(namespace: string): readonly Due[] {
    const rules: PlanRules = {
      ...{ replica: this.#options.name, freshness, startedAt: this.#startedAt, identityOf: this.identityOf },
      identityChangedAt: (of) => this.facts.changedAt(of),
      cachedToken: () => undefined,
      regionFailure: () => undefined,
      namespaceFailure: () => undefined,
      lastStartAt: () => undefined,
    };
    const now = this.#options.now();
    const secret = this.secretCache.get(namespace);
    return planNamespace(namespace, { secret }, { wallMs: now, monotonicMs: now }, rules).due;
  }

  async renew(namespace: string): Promise<void> {
    for (const { hosts } of this.plan(namespace)) {
      await this.secrets.renew(namespace, resolveRegistries(hosts, resolveRegistry));
    }
  }

  /** The password names the identity that applied when the call began. */
  async #fetchToken(namespace: string, host: string): Promise<Token> {
    const decision = this.identityOf(namespace, host);
    if (decision.access !== 'allowed') {
      throw new TokenError({ code: 'denied-by-rule', region: 'us-east-1' });
    }
    const { fingerprint } = decision.identity;
    await this.#options.calls.wait();
    this.#issued += 1;
    const password = `${fingerprint}|${this.#options.name}-${this.#issued}`;
    return fakeToken(password, this.#options.now(), 12 * hourMs, fingerprint);
  }
}
