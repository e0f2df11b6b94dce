// Tests which Events and log lines report failing, recovered and expiring hosts.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import type { KubeEvent } from '../../src/kube/events.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createDeniedHostReporter, createHostEventReporter } from '../../src/renewal/host-events.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import { resolveRegistry } from '../support/registries.ts';

const now = Date.UTC(2026, 10, 23, 12, 30);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const emptyReport = { failing: [], recovered: [], expiring: [] };

function failing(namespace: string, permanent: boolean): Overdue {
  const code = permanent ? 'AccessDeniedException' : 'throttled';
  const message = 'No ECR token for us-east-1: what happened. What can be done.';
  const failure = { code, permanent, message, since: now, at: now, retryAt: now };
  return { namespace, host, kind: 'missing', expiresAt: undefined, failure };
}

function setUp(createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined) {
  const secretCache = new SecretCache(resolveRegistry);
  const lifetime = { issuedAt: now, expiresAt: now + 1000 };
  secretCache.set({
    namespace: 'a',
    uid: 'uid-a',
    resourceVersion: '1',
    labels: { [managedByLabel]: productName },
    annotations: { [hostsAnnotation]: formatHosts(new Map([[host, lifetime]])) },
    fieldOwners: [],
  });
  const stream = new PassThrough();
  const clock = { now };
  const report = createHostEventReporter({
    secretName: 'ecr-pull-secrets',
    secretCache,
    createEvent,
    eventsPerSecond: 100_000,
    now: () => clock.now,
    log: createJsonLog('info', stream),
  });
  const readLog = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return { report, readLog, clock };
}

describe('host events', () => {
  it('report a failing host with an Event of the Secret, whose reason shows whether the operator has to act', async () => {
    const events: KubeEvent[] = [];
    const { report } = setUp(async (event) => events.push(event) > 0);
    report({ ...emptyReport, failing: [failing('a', true), failing('b', false)] });
    await eventually('both are created', () => events.length === 2);
    assert.deepEqual(
      events.map(({ type, reason, object }) => ({ type, reason, object })),
      [
        {
          type: 'Warning',
          reason: 'PullTokenRefused',
          object: { kind: 'Secret', namespace: 'a', name: 'ecr-pull-secrets', uid: 'uid-a' },
        },
        {
          type: 'Warning',
          reason: 'PullTokenRenewalFailed',
          object: { kind: 'Secret', namespace: 'b', name: 'ecr-pull-secrets' },
        },
      ],
    );
    assert.match(
      events[0]?.message ?? '',
      /^123456789012\.dkr\.ecr\..*: No ECR token .* What can be done\.$/,
    );
  });

  it('of a namespace with many failing hosts do not displace those of others', async () => {
    const events: KubeEvent[] = [];
    const { report } = setUp(async (event) => events.push(event) > 0);
    const many = Array.from({ length: 600 }, (_, index) => ({
      ...failing('a', false),
      host: `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`,
    }));
    report({ ...emptyReport, failing: [...many, failing('b', false)] });
    await eventually('the Event of the other namespace is created', () =>
      events.some(({ object }) => object.namespace === 'b'),
    );
    const messages = events.filter(({ object }) => object.namespace === 'a').map(({ message }) => message);
    assert.equal(messages.length, 5);
    assert.match(messages.at(-1) ?? '', /^000000000004\.\S+ \(and 595 more hosts in this namespace\): /);
  });

  it('are not delayed by a namespace whose Events hang', async () => {
    const gate = Promise.withResolvers<void>();
    const created: string[] = [];
    const { report } = setUp(async ({ object: { namespace } }) => {
      await (namespace === 'slow' && gate.promise);
      return created.push(namespace) > 0;
    });
    report({ ...emptyReport, failing: [failing('slow', false), failing('b', false)] });
    await eventually('the other Event is created', () => created.includes('b'), 30_000);
    assert.deepEqual(created, ['b']);
    gate.resolve();
    await eventually('both are created', () => created.length === 2);
  });

  it('of a namespace whose hosts fail repeatedly do not displace those of others, and continue in the next hour', async () => {
    const events: KubeEvent[] = [];
    const { report, clock } = setUp(async (event) => events.push(event) > 0);
    for (let plan = 0; plan < 100; plan += 1) {
      const host = `${String(plan).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`;
      report({ ...emptyReport, failing: [{ ...failing('a', false), host }] });
    }
    report({ ...emptyReport, failing: [failing('b', false)] });
    clock.now += 3_600_000;
    report({ ...emptyReport, failing: [failing('a', false)] });
    await eventually('those of both hours are created', () => events.length === 22);
    assert.deepEqual(
      Map.groupBy(events, ({ object }) => object.namespace)
        .values()
        .map((all) => all.length)
        .toArray(),
      [21, 1],
    );
  });

  it('of a namespace without Events are created before the second one of any other, however many are queued', async () => {
    const events: KubeEvent[] = [];
    const { report } = setUp(async (event) => events.push(event) > 0);
    const hosts = Array.from(
      { length: 5 },
      (_, index) => `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`,
    );
    const many = Array.from({ length: 300 }, (_, index) => `team-${index}`).flatMap((namespace) =>
      hosts.map((host) => ({ ...failing(namespace, true), host })),
    );
    const unsent: string[] = [];
    report({ ...emptyReport, failing: many }, ({ namespace }) => unsent.push(namespace));
    report({ ...emptyReport, failing: [failing('b', true)] }, ({ namespace }) => unsent.push(namespace));
    await eventually('all queued Events are created', () => events.length + unsent.length === 1501, 30_000);
    const position = events.findIndex(({ object }) => object.namespace === 'b');
    assert.ok(position >= 0 && position <= 300, `it has position ${position}`);
    assert.ok(
      unsent.length > 0 && new Set(unsent).size < 300,
      'Events that did not fit into the queue are reported as unsent',
    );
  });

  it('are reported as unsent if the API server fails, unless a retry cannot help', async () => {
    const codes: Record<string, KubeErrorCode> = { a: 'server-error', b: 'forbidden', c: 'timeout' };
    let calls = 0;
    const { report } = setUp(async ({ object: { namespace } }) => {
      calls += 1;
      throw new KubeError({ code: codes[namespace] ?? 'unknown', operation: 'create Event' });
    });
    const unsent: string[] = [];
    const all = Object.keys(codes).map((namespace) => failing(namespace, true));
    report({ ...emptyReport, failing: all }, ({ namespace }) => unsent.push(namespace));
    await eventually('all were tried', () => calls === 3);
    await eventually('two are unsent', () => unsent.length === 2);
    assert.deepEqual(unsent.toSorted(), ['a', 'c']);
  });

  it('have the same name in all replicas within an hour, and another one in the next hour', async () => {
    const names: string[] = [];
    const create = async ({ name }: KubeEvent) => names.push(name) > 0;
    const [one, two] = [setUp(create), setUp(create)];
    one.report({ ...emptyReport, failing: [failing('a', true)] });
    two.clock.now += 60_000;
    two.report({ ...emptyReport, failing: [failing('a', true)] });
    await eventually('both are created', () => names.length === 2);
    two.clock.now += 3_600_000;
    two.report({ ...emptyReport, failing: [failing('a', true)] });
    await eventually('the third is created', () => names.length === 3);
    assert.equal(names[0], names[1]);
    assert.notEqual(names[0], names[2]);
    assert.match(names[0] ?? '', /^[a-z0-9.-]{1,253}$/);
  });

  it('report a recovered host if its Secret still exists', async () => {
    const events: KubeEvent[] = [];
    const { report } = setUp(async (event) => events.push(event) > 0);
    report({
      ...emptyReport,
      recovered: [
        { namespace: 'gone', host },
        { namespace: 'a', host },
      ],
    });
    await eventually('it is created', () => events.length === 1);
    assert.deepEqual([events[0]?.type, events[0]?.reason], ['Normal', 'PullTokenRenewed']);
  });

  it('that cannot be created are logged once, and later ones are still tried', async () => {
    let calls = 0;
    const { report, readLog } = setUp(async () => {
      calls += 1;
      throw new Error('no rights');
    });
    report({ ...emptyReport, failing: [failing('a', true), failing('b', true), failing('c', true)] });
    await eventually('all were tried', () => calls === 3);
    const lines = await readLog();
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /failed to create an Event/);
  });

  it('do not replace the log warning about expiring tokens, which is logged without Events too', async () => {
    const { report, readLog } = setUp(undefined);
    const message = 'No ECR token for us-east-1: denied';
    const one = { code: 'AccessDenied', permanent: true, message, namespaces: 7, firstExpiresAt: now };
    report({ failing: [failing('a', true)], recovered: [], expiring: [one] });
    const [line] = await readLog();
    const { level, namespaces, firstExpiresAt, permanent } = JSON.parse(line ?? '');
    assert.deepEqual(
      { level, namespaces, firstExpiresAt, permanent },
      { level: 'warn', namespaces: 7, firstExpiresAt: '2026-11-23T12:30:00.000Z', permanent: true },
    );
  });
});

describe('the report of hosts that rules deny', () => {
  it('is one Event for each rule, which names the hosts and the rule, and is the same in all replicas', async () => {
    const created: KubeEvent[][] = [[], []];
    for (const events of created) {
      const report = createDeniedHostReporter({
        secretName: 'ecr-pull-secrets',
        secretCache: new SecretCache(resolveRegistry),
        createEvent: async (event) => events.push(event) > 0,
        eventsPerSecond: 100_000,
        now: () => now,
        log: createJsonLog('silent', new PassThrough()),
      });
      const ofOneRule = Array.from({ length: 7 }, (_, index) => ({
        host: `${index}.${host}`,
        rule: 'registries[0]',
      }));
      report('a', [...ofOneRule.toReversed(), { host, rule: 'registries[3]' }]);
      await eventually('both are created', () => events.length === 2);
    }
    const [first, second] = created[0] ?? [];
    assert.deepEqual([first?.type, first?.reason], ['Warning', 'PullTokenDenied']);
    assert.match(
      first?.message ?? '',
      /^0\..*, 4\.\S+ and 2 more: removed from the Secret, because registries\[0\]/,
    );
    assert.equal(
      second?.message,
      `${host}: removed from the Secret, because registries[3] of the configuration denies this namespace the tokens. ` +
        'Pods that need them cannot pull',
    );
    assert.deepEqual(created[1], created[0]);
  });
});
