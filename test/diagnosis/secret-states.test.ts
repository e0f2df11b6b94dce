// Tests how the state of a pull Secret and of its hosts is determined from metadata and Events.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addReportedHosts, classifySecret, type SecretRules } from '../../src/diagnosis/secret-states.ts';
import { TokenErrors } from '../../src/diagnosis/token-errors.ts';
import type { ListedEvent } from '../../src/kube/event-list.ts';
import type { SecretMetadata } from '../../src/kube/secret-metadata.ts';
import { allow, denied, unresolved } from '../support/identities.ts';
import { resolveRegistry } from '../support/registries.ts';

const hour = 3_600_000;
const now = Date.parse('2026-01-02T12:00:00Z');
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const owners = [
  { manager: 'ecr-pull-secrets', data: ['.dockerconfigjson'], annotations: ['ecr-pull-secrets.io/hosts'] },
];

function event(message: string, changes: Partial<ListedEvent> = {}): ListedEvent {
  return {
    namespace: 'shop',
    reason: 'PullTokenRenewalFailed',
    message,
    source: 'ecr-pull-secrets',
    at: now - 60_000,
    ...changes,
  };
}

function rulesWith(changes: Partial<SecretRules> = {}, events: readonly ListedEvent[] = []): SecretRules {
  const errors = new TokenErrors();
  for (const one of events) {
    errors.add(one);
  }
  return {
    now,
    freshness: { fraction: 0.5, floorMs: hour },
    maxHosts: 200,
    resolveRegistry,
    identityOf: () => allow(),
    isExcluded: () => false,
    findError: (namespace, of, since) => errors.find(namespace, of, since),
    ...changes,
  };
}

function secretWith(hosts: unknown, changes: Partial<SecretMetadata> = {}): SecretMetadata {
  return {
    namespace: 'shop',
    uid: 'u',
    resourceVersion: '1',
    labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
    annotations: { 'ecr-pull-secrets.io/hosts': JSON.stringify(hosts) },
    fieldOwners: owners,
    ...changes,
  };
}

/** The lifetime of a token that was issued some hours ago and is valid for twelve. */
function issued(hoursAgo: number, more: Record<string, string> = {}) {
  const time = (at: number) => new Date(at).toISOString();
  return {
    issuedAt: time(now - hoursAgo * hour),
    expiresAt: time(now + (12 - hoursAgo) * hour),
    ...more,
  };
}

function stateOf(entry: unknown, rules = rulesWith()): string | undefined {
  return classifySecret(secretWith({ [host]: entry }), false, rules).hosts[0]?.state;
}

describe('the state of a host', () => {
  const failed = rulesWith({}, [event(`${host}: no network`)]);

  it('follows from the lifetime of its token', () => {
    assert.equal(stateOf(issued(1)), 'valid');
    assert.equal(stateOf(issued(7)), 'due');
    assert.equal(stateOf(issued(13)), 'expired');
    assert.equal(stateOf({ requestedAt: new Date(now).toISOString() }), 'waiting');
    assert.equal(stateOf(null), 'waiting');
  });

  it('is failing if an Event is newer than the token or the request, and not if it is older', () => {
    assert.equal(stateOf(issued(7), failed), 'failing');
    assert.equal(stateOf({ requestedAt: new Date(now - hour).toISOString() }, failed), 'failing');
    assert.equal(stateOf(null, failed), 'failing');
    assert.equal(stateOf(issued(0.01), failed), 'valid');
    assert.equal(stateOf(issued(1), failed), 'valid', 'the token was in memory and has been stored since');
    assert.equal(stateOf({ requestedAt: new Date(now).toISOString() }, failed), 'waiting');
    assert.equal(stateOf(issued(13), failed), 'expired');
  });

  it('takes only Events of the program, about this host', () => {
    const others = [
      event(`${host}: x`, { source: 'kubelet' }),
      event(`${host}: x`, { namespace: 'other' }),
      event(`${host.replace('1', '2')}: x`),
      event(`${host}: x`, { reason: 'BackOff' }),
      event('no host in this text'),
    ];
    assert.equal(stateOf(null, rulesWith({}, others)), 'waiting');
  });

  it('shows the last error, also of a host with a port and of an Event about several hosts', () => {
    const events = [
      event(`${host}: first`, { at: now - 3000 }),
      event(`${host} (and 3 more hosts in this namespace): second: with colon`, { at: now - 2000 }),
      event(`${host}: zeroth`, { at: now - 4000 }),
      event('registry.example.com:5000: third'),
    ];
    const errors = new TokenErrors();
    for (const one of events) {
      errors.add(one);
    }
    assert.equal(errors.find('shop', host, 0)?.text, 'second: with colon');
    assert.equal(errors.find('shop', 'registry.example.com:5000', 0)?.text, 'third');
    assert.equal(errors.find('shop', host, now - 1000), undefined);
  });

  it('follows from the identity that applies', () => {
    const roleChanged = rulesWith({ identityOf: () => allow('0a1b') });
    assert.equal(stateOf(issued(1), roleChanged), 'due');
    assert.equal(stateOf(issued(1, { identity: '0a1b' }), roleChanged), 'valid');
    assert.equal(stateOf(issued(1), rulesWith({ identityOf: () => denied })), 'denied');
    const { hosts } = classifySecret(
      secretWith({ [host]: null }),
      false,
      rulesWith({ identityOf: () => unresolved }),
    );
    assert.equal(hosts[0]?.state, 'failing');
    assert.match(hosts[0]?.error ?? '', /ServiceAccount team-a\/ecr-pull does not exist/);
  });

  it('is not failing because of facts that the caller may not read', () => {
    const identityOf = () => ({ ...unresolved, code: 'namespace-unknown' }) as const;
    const { hosts } = classifySecret(secretWith({ [host]: issued(1) }), false, rulesWith({ identityOf }));
    assert.equal(hosts[0]?.state, 'valid');
    assert.equal(hosts[0]?.identity.kind, 'unknown');
  });

  it('is unconfigured while the token of a host that was removed from the configuration is valid', () => {
    const removed = { 'registry.example.com': issued(1), 'old.example.com': issued(13) };
    const { hosts } = classifySecret(secretWith(removed), false, rulesWith());
    assert.deepEqual(
      hosts.map(({ host: of, state }) => [of, state]),
      [
        ['registry.example.com', 'unconfigured'],
        ['old.example.com', 'expired'],
      ],
    );
  });
});

describe('the condition of a Secret', () => {
  const conditionOf = (changes: Partial<SecretMetadata>, hasOtherType = false, rules = rulesWith()) => {
    const { condition, detail } = classifySecret(secretWith({}, changes), hasOtherType, rules);
    return [condition, detail];
  };

  it('is managed as the program wrote it', () => {
    assert.deepEqual(conditionOf({}), ['managed', undefined]);
  });

  it('is unmanaged without the label, unless that is deliberate', () => {
    const foreign = { labels: {}, fieldOwners: [{ manager: 'kubectl', data: [], annotations: [] }] };
    assert.deepEqual(conditionOf(foreign), [
      'unmanaged',
      'it has no label app.kubernetes.io/managed-by=ecr-pull-secrets',
    ]);
    const annotations = { 'ecr-pull-secrets.io/managed': 'false' };
    assert.equal(conditionOf({ ...foreign, annotations })[0], 'opted-out');
    assert.equal(conditionOf(foreign, false, rulesWith({ isExcluded: () => true }))[0], 'opted-out');
    const labelled = { ...foreign, labels: { 'app.kubernetes.io/managed-by': 'Helm' } };
    assert.equal(conditionOf(labelled)[1], 'its label app.kubernetes.io/managed-by is Helm');
  });

  it('has the wrong type, whatever its label says', () => {
    assert.deepEqual(conditionOf({}, true), ['wrong-type', 'its type is not kubernetes.io/dockerconfigjson']);
  });

  it('is edited if another writer owns the content or removed the label, and names the writer', () => {
    const kubectl = { manager: 'kubectl-edit', data: ['.dockerconfigjson'], annotations: [] };
    const own = { ...owners[0], manager: 'ecr-pull-secrets', data: [], annotations: [] };
    assert.deepEqual(conditionOf({ fieldOwners: [own, kubectl] }), [
      'edited',
      'kubectl-edit changed its content',
    ]);
    assert.equal(conditionOf({ labels: {} })[0], 'edited');
  });

  it('is full when it names as many hosts as it may', () => {
    const { isFull } = classifySecret(secretWith({ [host]: null }), false, rulesWith({ maxHosts: 1 }));
    assert.equal(isFull, true);
  });

  it('includes hosts that an Event reports and that no Secret names, for as long as the Event is recent', () => {
    const reported = (at: number) => new Map([[host, { text: 'quota', at, isPermanent: true }]]);
    const added = addReportedHosts('shop', undefined, reported(now - hour), rulesWith());
    assert.deepEqual(
      [added?.condition, added?.hosts[0]?.state, added?.hosts[0]?.error],
      ['missing', 'failing', 'quota'],
    );
    assert.equal(addReportedHosts('shop', undefined, reported(now - 2 * hour), rulesWith()), undefined);
    const secret = classifySecret(secretWith({ [host]: null }), false, rulesWith());
    assert.equal(addReportedHosts('shop', secret, reported(now), rulesWith()), undefined);
    const unmanaged = { ...secret, condition: 'unmanaged', hosts: [] } as const;
    assert.equal(addReportedHosts('shop', unmanaged, reported(now), rulesWith()), undefined);
  });
});
