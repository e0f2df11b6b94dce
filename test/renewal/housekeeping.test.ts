// Tests the periodic removal and addition of hosts, and the report of full Secrets.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { KubeEvent } from '../../src/kube/events.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { MissingHosts } from '../../src/pull-secrets/missing-hosts.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { secretFullHost } from '../../src/pull-secrets/unavailable-host.ts';
import { UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { isForgettable } from '../../src/renewal/forget-policy.ts';
import { createFullSecretReporter } from '../../src/renewal/host-events.ts';
import {
  type FullSecret,
  Housekeeping,
  type HousekeepingDependencies,
} from '../../src/renewal/housekeeping.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import { resolveRegistry } from '../support/registries.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
const start = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

function setUp(
  namespaces: readonly string[],
  forgetHosts: (namespace: string) => Promise<void>,
  secrets: HousekeepingDependencies['secrets'] = {
    ensure: async (_, registries) => registries.map((one) => secretFullHost(one.host)),
  },
  isDenied: HousekeepingDependencies['isDenied'] = () => false,
) {
  const clock = { wallMs: start, monotonicMs: 0 };
  const secretCache = new SecretCache(resolveRegistry, () => clock.monotonicMs);
  for (const namespace of namespaces) {
    secretCache.set({
      namespace,
      uid: `uid-${namespace}`,
      resourceVersion: '1',
      labels: { [managedByLabel]: productName },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, undefined]]), new Map([[host, start]])) },
      fieldOwners: [],
    });
  }
  const missing = new MissingHosts(24 * hourMs);
  const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: () => clock.monotonicMs });
  const inUse = new Map([[host, 'app']]);
  const lines: Record<string, unknown>[] = [];
  const log = createJsonLog('info', { write: (line) => void lines.push(JSON.parse(line)) });
  const full: FullSecret[] = [];
  const housekeeping = new Housekeeping({
    secretCache,
    resolveRegistry,
    missing,
    secrets,
    unstored,
    pods: {
      listHosts: async () => inUse,
      listPodHosts: async () => ({ hosts: inUse, referring: new Set(inUse.keys()) }),
      isForbidden: () => false,
    },
    isConfigured: () => false,
    isDenied,
    forgetHosts,
    forgetAfterMs: 24 * hourMs,
    replica: 'a',
    now: () => ({ ...clock }),
    random: () => 0,
    tickMs: 1_000,
    log,
    onSecretFull: (secret) => full.push(secret),
  });
  const move = (ms: number) => {
    clock.wallMs += ms;
    clock.monotonicMs += ms;
    housekeeping.tick();
  };
  const pass = async (ms: number) => {
    move(ms);
    await housekeeping.waitUntilIdle();
  };
  return { secretCache, missing, unstored, housekeeping, move, pass, lines, full };
}

describe('housekeeping', () => {
  it('checks a Secret whose host has waited long enough once an hour, and continues with others after a failure', async () => {
    const checked: string[] = [];
    const { pass, lines } = setUp(['a', 'b'], async (namespace) => {
      checked.push(namespace);
      if (namespace === 'a') {
        throw new Error('unexpected');
      }
    });
    await pass(24 * hourMs - 1);
    assert.deepEqual(checked, []);
    await pass(5 * minuteMs);
    assert.deepEqual(checked, ['a', 'b']);
    assert.deepEqual(
      lines.map(({ namespace, msg }) => `${namespace}: ${msg}`),
      ['a: failed to update the hosts of a pull Secret'],
    );
    await pass(59 * minuteMs);
    assert.equal(checked.length, 2);
    await pass(minuteMs);
    assert.equal(checked.length, 4);
  });

  it('reports a full Secret once an hour while a host cannot be added', async () => {
    const { pass, missing, full } = setUp(['a'], async () => undefined);
    const other = host.replace('us-east-1', 'eu-west-1');
    missing.record('a', [host, other], 'refused', 0);
    missing.record('b', [host], 'refused', 0);
    for (let minutes = 0; minutes < 90; minutes += 1) {
      await pass(minuteMs);
    }
    assert.deepEqual(
      full.map(({ namespace, hosts, stored }) => ({ namespace, hosts, stored })),
      // in `a` the host is stored by now
      [
        { namespace: 'a', hosts: [host], stored: 1 },
        { namespace: 'b', hosts: [host], stored: 0 },
        { namespace: 'b', hosts: [host], stored: 0 },
      ],
    );
  });

  it('continues in other namespaces while one hangs, and does not start there a second time', async () => {
    const gate = Promise.withResolvers<void>();
    const checked: string[] = [];
    const { missing, move, housekeeping } = setUp([], async () => undefined, {
      ensure: async (namespace) => {
        checked.push(namespace);
        await (namespace === 'slow' && gate.promise);
        return [];
      },
    });
    missing.record('slow', [host], 'refused', 0);
    missing.record('a', [host], 'refused', 0);
    move(minuteMs);
    await eventually('both have started', () => checked.length === 2);
    for (let round = 1; round <= 3; round += 1) {
      await setImmediate();
      move(10 * minuteMs);
      await eventually('the other one is checked again', () => checked.length === 2 + round);
    }
    assert.deepEqual(checked.toSorted(), ['a', 'a', 'a', 'a', 'slow']);
    gate.resolve();
    await housekeeping.waitUntilIdle();
  });

  it('forgets an unstored host once another replica has stored it, or nothing requests it any more', async () => {
    const { unstored, pass } = setUp(['a'], async () => undefined);
    const failure = { code: 'timeout', permanent: false, message: 'timed out' };
    unstored.add('a', [host], failure);
    unstored.add('b', ['other'], failure);
    await pass(1_000);
    assert.deepEqual([...unstored.byNamespace().keys()], ['b'], 'the Secret of `a` contains it');
    await pass(24 * hourMs);
    assert.equal(unstored.size, 0);
  });

  it('forgets hosts that a rule denies, whether they could not be stored or found a full Secret', async () => {
    const isDenied = (namespace: string) => namespace === 'b';
    const { unstored, missing, pass } = setUp(['a'], async () => undefined, undefined, isDenied);
    const failure = { code: 'timeout', permanent: false, message: 'timed out' };
    unstored.add('b', [host], failure);
    unstored.add('c', [host], failure);
    missing.record('b', [host], 'refused', 0);
    await pass(minuteMs);
    assert.deepEqual([...unstored.byNamespace().keys()], ['c']);
    assert.deepEqual(missing.hostsToAdd('b', new Set([host])), []);
  });

  it('starts nothing after it was stopped', async () => {
    const { pass, housekeeping } = setUp(['a'], () => assert.fail('nothing is to be forgotten'));
    await housekeeping.stop();
    await pass(48 * hourMs);
  });
});

describe('a Secret with hosts to forget', () => {
  const rules = { forgetAfterMs: 24 * hourMs, replica: 'a', now: start + 25 * hourMs };
  const secret = {
    ...{
      uid: 'u',
      resourceVersion: '1',
      isManaged: true,
      isIntact: true,
      formerHosts: new Map(),
      observedAt: 0,
    },
    hosts: new Map([[host, undefined]]),
    requestedAt: new Map([[host, start]]),
  };

  it('is managed, intact, and has a host that has waited for long or for an unknown time', () => {
    assert.equal(isForgettable('a', secret, rules), true);
    assert.equal(isForgettable('a', { ...secret, isManaged: false }, rules), false);
    assert.equal(isForgettable('a', { ...secret, isIntact: false }, rules), false);
    assert.equal(isForgettable('a', { ...secret, requestedAt: new Map() }, rules), true);
    const lifetime = { issuedAt: start - 48 * hourMs, expiresAt: start - 36 * hourMs };
    const expired = { ...secret, hosts: new Map([[host, lifetime]]), requestedAt: new Map<string, number>() };
    assert.equal(isForgettable('a', expired, rules), false, 'a host with an expired token is kept');
  });

  it('is due in one replica after the other', () => {
    const dueAt = (replica: string) => {
      for (let now = start + 24 * hourMs; ; now += 1_000) {
        if (isForgettable('a', secret, { ...rules, replica, now })) {
          return now - start - 24 * hourMs;
        }
      }
    };
    const times = ['a', 'b', 'c', 'd'].map(dueAt);
    assert.equal(new Set(times).size, 4);
    assert.ok(times.every((ms) => ms <= 5 * minuteMs));
  });
});

describe('report of a full Secret', () => {
  it('is a log line and one Event an hour with what to do', async () => {
    const { secretCache } = setUp(['a'], async () => undefined);
    const events: KubeEvent[] = [];
    const lines: Record<string, unknown>[] = [];
    const report = createFullSecretReporter({
      secretName: 'ecr-pull-secrets',
      secretCache,
      createEvent: async (event) => events.push(event) > 0,
      now: () => start,
      log: createJsonLog('info', { write: (line) => void lines.push(JSON.parse(line)) }),
    });
    const hosts = Array.from({ length: 200 }, (_, index) => `${index}.${host}`);
    report({ namespace: 'a', hosts, stored: 200, forbidden: false });
    report({ namespace: 'b', hosts: [host], stored: 200, forbidden: true });
    await eventually('both are created', () => events.length === 2);
    const [event, other] = events;
    assert.deepEqual(
      [event?.type, event?.reason, event?.object],
      [
        'Warning',
        'PullSecretFull',
        { kind: 'Secret', namespace: 'a', name: 'ecr-pull-secrets', uid: 'uid-a' },
      ],
    );
    assert.match(
      event?.message ?? '',
      /^no room for 200 more hosts \(0\..+\): the Secret holds 200 hosts, all in use/,
    );
    assert.match(event?.message ?? '', /run ecr-pull-secrets remove-host, or raise secrets\.maxHosts$/);
    assert.ok((event?.message ?? '').length <= 1024);
    assert.match(other?.message ?? '', /none can be removed because listing pods is forbidden/);
    assert.deepEqual(lines[0]?.['hostCount'], 200);
  });
});
