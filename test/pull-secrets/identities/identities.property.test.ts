// Tests that a token is never stored under another identity than the one that applies when it is stored.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { HostIdentityResolver } from '../../../src/ecr/identity.ts';
import type { IdentityRule } from '../../../src/ecr/identity-rules.ts';
import type { SecretMetadata } from '../../../src/kube/secret-metadata.ts';
import type { SecretObject } from '../../../src/kube/secrets.ts';
import { registryOfHost } from '../../support/registries.ts';
import { hourMs, start } from '../pull-secret-fixtures.ts';
import { PendingCalls } from './pending-calls.ts';
import { IdentityReplica } from './replica.ts';
import { type HeldHost, SharedSecrets } from './shared-secrets.ts';

const namespaces = ['team-a', 'team-b'] as const;
const hosts = [
  '123456789012.dkr.ecr.us-east-1.amazonaws.com',
  '210987654321.dkr.ecr.eu-west-1.amazonaws.com',
] as const;
const roleOf = (name: string) => `arn:aws:iam::123456789012:role/${name}`;

/** Configurations of which replicas can have different ones for some time. */
const configurations: readonly (readonly IdentityRule[])[] = [
  [],
  [{ roleArn: roleOf('ecr-{namespace}') }],
  [{ accounts: ['210987654321'], access: 'deny' }, { roleArn: roleOf('shared') }],
  [
    { namespaces: { selector: 'tier=none' }, access: 'deny' },
    { namespaces: { selector: 'tier=prod' }, roleArn: roleOf('prod') },
    {
      webIdentity: { serviceAccount: 'puller', audience: 'sts.amazonaws.com' },
      allowedRoles: [roleOf('ecr-*')],
    },
  ],
];

const configuration = fc.constantFrom(...configurations);
const namespace = fc.constantFrom(...namespaces);
const replica = fc.nat({ max: 1 });
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('ensure' as const), replica, namespace }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('renew' as const), replica, namespace }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('rules' as const), replica, rules: configuration }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('labels' as const),
      ...{ replica, namespace, tier: fc.constantFrom('none', 'prod', 'test') },
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('annotation' as const),
      ...{ replica, namespace, role: fc.constantFrom(undefined, 'ecr-one', 'ecr-two', 'admin') },
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('time' as const),
      ms: fc.constantFrom(1_000, 5_000, 7 * hourMs),
    }),
  },
);
const step = fc.record({ action, completions: fc.array(fc.nat({ max: 9 }), { maxLength: 4 }) });

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** Two replicas, their Secrets, and what they violated. */
class Cluster {
  readonly calls = new PendingCalls();
  readonly violations: string[] = [];
  readonly secrets: SharedSecrets;
  readonly replicas: readonly IdentityReplica[];
  readonly #inFlight = new Set<Promise<unknown>>();
  #now = start;

  /** @param rules the rules of both replicas */
  constructor(rules: readonly IdentityRule[]) {
    this.secrets = new SharedSecrets(this.calls, (secret) => this.#notifyAll(secret));
    this.replicas = ['a', 'b'].map((name) => {
      const check = this.#createCheck(name, (...of) => created.identityOf(...of));
      const options = {
        name,
        calls: this.calls,
        store: this.secrets.createStore(check),
        now: () => this.#now,
      };
      const created = new IdentityReplica(options, rules);
      return created;
    });
  }

  run(one: Action): void {
    if (one.kind === 'time') {
      this.#now += one.ms;
      return;
    }
    const of = this.replicas[one.replica] ?? assert.fail();
    if (one.kind === 'rules') {
      of.setRules(one.rules);
    } else if (one.kind === 'labels') {
      of.facts.setNamespace({ name: one.namespace, labels: { tier: one.tier } });
    } else if (one.kind === 'annotation') {
      setRole(of, one.namespace, one.role);
    } else if (one.kind === 'ensure') {
      this.#track(of.secrets.ensure(one.namespace, hosts.map(registryOfHost)));
    } else {
      this.#track(of.renew(one.namespace));
    }
  }

  /** Completes everything that is in flight. Retries after conflicts wait for a tenth of a second. */
  async settle(): Promise<void> {
    while (this.#inFlight.size > 0) {
      await this.calls.completeOne(0);
      if (this.calls.size === 0 && this.#inFlight.size > 0) {
        await sleep(5);
      }
    }
    while (this.calls.size > 0) {
      await this.calls.completeOne(0);
    }
  }

  /** Gives all replicas the same facts and rules (by default, those of the first), and lets renewal finish its work. */
  async converge(rules = this.replicas[0]?.rules ?? []): Promise<void> {
    this.#now += 1_000;
    for (const one of this.replicas) {
      one.setRules(rules);
      for (const name of namespaces) {
        one.facts.setNamespace({ name, labels: { tier: name === 'team-a' ? 'test' : 'none' } });
        setRole(one, name, 'ecr-two');
      }
    }
    for (let round = 0; round < 3; round += 1) {
      this.#now += 10_000;
      for (const name of namespaces) {
        this.#track(Promise.all(this.replicas.map((one) => one.renew(name))));
      }
      await this.settle();
    }
  }

  #track(task: Promise<unknown>): void {
    this.#inFlight.add(task);
    void task.finally(() => this.#inFlight.delete(task));
  }

  /** The watch of each replica shows a stored version later. */
  #notifyAll({ metadata, fieldOwners = [] }: SecretObject): void {
    const { namespace, uid = '', resourceVersion = '', labels = {}, annotations = {} } = metadata;
    const item: SecretMetadata = { namespace, uid, resourceVersion, labels, annotations, fieldOwners };
    for (const one of this.replicas) {
      void this.calls.wait().then(() => one.secretCache.set(item));
    }
  }

  #createCheck(name: string, identityOf: HostIdentityResolver) {
    return (of: string, before: ReadonlyMap<string, HeldHost>, after: ReadonlyMap<string, HeldHost>) => {
      for (const host of new Set([...before.keys(), ...after.keys()])) {
        const problem = findViolation(before.get(host), after.get(host), identityOf(of, host));
        if (problem !== undefined) {
          this.violations.push(`replica ${name}: ${of}: ${host} ${problem}`);
        }
      }
    };
  }
}

function setRole({ facts }: IdentityReplica, namespace: string, role: string | undefined): void {
  if (facts.serviceAccount(namespace, 'puller').state === 'unknown') {
    facts.replaceServiceAccounts('puller', []);
  }
  if (role === undefined) {
    facts.removeServiceAccount(namespace, 'puller');
  } else {
    const annotations = { 'eks.amazonaws.com/role-arn': roleOf(role) };
    facts.setServiceAccount({ namespace, name: 'puller', annotations });
  }
}

/** What is wrong with a write, given the decision at that moment. */
function findViolation(
  before: HeldHost | undefined,
  after: HeldHost | undefined,
  decision: ReturnType<HostIdentityResolver>,
): string | undefined {
  if (decision.access === 'denied') {
    return after === undefined ? undefined : 'is denied, and not removed';
  }
  if (after === undefined) {
    return 'is removed although no rule denies it';
  }
  if (after.password === before?.password) {
    return after.identity === before?.identity ? undefined : 'is given another identity, but no other token';
  }
  if (after.password === undefined) {
    return 'loses its token';
  }
  const fetchedBy = after.password.split('|')[0];
  const applies = decision.access === 'allowed' ? String(decision.identity.fingerprint) : 'none';
  return fetchedBy === applies && String(after.identity) === fetchedBy
    ? undefined
    : `gets a token of ${fetchedBy} under ${after.identity}, while ${applies} applies`;
}

/** The stored hosts that do not have a token of the identity that applies now, although nothing prevents that. */
function findOutdated({ replicas, secrets }: Cluster): string[] {
  const identityOf = replicas[0]?.identityOf ?? assert.fail();
  return namespaces.flatMap((name) =>
    [...secrets.hosts(name)].flatMap(([host, { identity, password }]) => {
      const decision = identityOf(name, host);
      const applies = decision.access === 'allowed' ? decision.identity.fingerprint : 'none';
      const isCurrent = identity === applies && password?.split('|')[0] === String(applies);
      return isCurrent ? [] : [`${name}: ${host} has ${password} under ${identity}, and ${applies} applies`];
    }),
  );
}

describe('a token', () => {
  it('is stored only under the identity that applies, while rules, labels and annotations change and calls are in flight', async () => {
    const steps = fc.array(step, { minLength: 5, maxLength: 30 });
    const last = fc.option(configuration, { nil: undefined });
    const property = fc.asyncProperty(configuration, steps, last, async (before, all, after) => {
      const cluster = new Cluster(before);
      for (const { action: one, completions } of all) {
        cluster.run(one);
        for (const choice of completions) {
          await cluster.calls.completeOne(choice);
        }
      }
      await cluster.settle();
      await cluster.converge(after);
      assert.deepEqual(cluster.violations, []);
      assert.deepEqual(findOutdated(cluster), [], 'after all have the same rules and facts');
    });
    await fc.assert(property, { numRuns: 100 });
  });

  it('that a replica with older rules stored during a rolling update is replaced when that replica is gone', async () => {
    const cluster = new Cluster([{ roleArn: roleOf('shared') }]);
    cluster.run({ kind: 'time', ms: 5_000 });
    cluster.run({ kind: 'rules', replica: 0, rules: [{ roleArn: roleOf('ecr-{namespace}') }] });
    cluster.run({ kind: 'time', ms: 5_000 });
    for (const of of namespaces) {
      cluster.run({ kind: 'ensure', replica: 1, namespace: of });
    }
    await cluster.settle();
    assert.equal(findOutdated(cluster).length, 4);
    cluster.run({ kind: 'time', ms: 300_000 });
    for (const of of namespaces) {
      cluster.run({ kind: 'renew', replica: 0, namespace: of });
    }
    await cluster.settle();
    assert.deepEqual(findOutdated(cluster), []);
  });

  it('of a namespace that was deleted is replaced if one of its name with other labels exists, although events were late', async () => {
    const cluster = new Cluster([
      { namespaces: { selector: 'tier=prod' }, roleArn: roleOf('prod') },
      { roleArn: roleOf('test') },
    ]);
    const { facts } = cluster.replicas[0] ?? assert.fail();
    facts.replaceNamespaces(namespaces.map((name) => ({ name, labels: { tier: 'prod' } })));
    cluster.run({ kind: 'time', ms: hourMs });
    cluster.run({ kind: 'ensure', replica: 0, namespace: 'team-a' });
    await cluster.settle();
    cluster.run({ kind: 'time', ms: 1_000 });
    facts.removeNamespace('team-a');
    facts.setNamespace({ name: 'team-a', labels: { tier: 'test' } });
    cluster.run({ kind: 'time', ms: 10_000 });
    cluster.run({ kind: 'renew', replica: 0, namespace: 'team-a' });
    await cluster.settle();
    assert.deepEqual(findOutdated(cluster), []);
  });
});
