import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import type { KubeEvent } from '../../src/kube/events.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { formatHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createHostEventReporter } from '../../src/renewal/host-events.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';

const now = Date.UTC(2026, 10, 23, 12, 30);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const nothing = { failing: [], recovered: [], expiring: [] };

function failing(namespace: string, permanent: boolean): Overdue {
  const code = permanent ? 'AccessDeniedException' : 'throttled';
  const message = 'No ECR token for us-east-1: what happened. What can be done.';
  const trouble = { code, permanent, message, since: now, at: now, retryAt: now };
  return { namespace, host, kind: 'missing', expiresAt: undefined, failure: trouble };
}

function setUp(createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined) {
  const secretCache = new SecretCache();
  const life = { issuedAt: now, expiresAt: now + 1000 };
  secretCache.set({
    namespace: 'a',
    uid: 'uid-a',
    resourceVersion: '1',
    labels: { [managedByLabel]: productName },
    annotations: { [hostsAnnotation]: formatHosts(new Map([[host, life]])) },
    fieldOwners: [],
  });
  const stream = new PassThrough();
  const clock = { now };
  const tell = createHostEventReporter({
    secretName: 'ecr-pull-secrets',
    secretCache,
    createEvent,
    eventsPerSecond: 100_000,
    now: () => clock.now,
    log: createJsonLog('info', stream),
  });
  const logged = async () => {
    stream.end();
    return (await text(stream)).split('\n').filter((line) => line !== '');
  };
  return { tell, logged, clock };
}

describe('news', () => {
  it('of a host that fails is an Event at the Secret, which says whether a person has to change something', async () => {
    const events: KubeEvent[] = [];
    const { tell } = setUp(async (event) => events.push(event) > 0);
    tell({ ...nothing, failing: [failing('a', true), failing('b', false)] });
    await eventually('both are out', () => events.length === 2);
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
          reason: 'PullTokenNotRenewed',
          object: { kind: 'Secret', namespace: 'b', name: 'ecr-pull-secrets' },
        },
      ],
    );
    assert.match(
      events[0]?.message ?? '',
      /^123456789012\.dkr\.ecr\..*: No ECR token .* What can be done\.$/,
    );
  });

  it('of a namespace with many hosts that fail leaves room for the others', async () => {
    const events: KubeEvent[] = [];
    const { tell } = setUp(async (event) => events.push(event) > 0);
    const many = Array.from({ length: 600 }, (_, index) => ({
      ...failing('a', false),
      host: `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`,
    }));
    tell({ ...nothing, failing: [...many, failing('b', false)] });
    await eventually('the Event of the other namespace is out', () =>
      events.some(({ object }) => object.namespace === 'b'),
    );
    const messages = events.filter(({ object }) => object.namespace === 'a').map(({ message }) => message);
    assert.equal(messages.length, 5);
    assert.match(messages.at(-1) ?? '', /^000000000004\.\S+ \(595 more hosts fail in this namespace\): /);
  });

  it('of a namespace whose Events hang goes out in the others', async () => {
    const gate = Promise.withResolvers<void>();
    const created: string[] = [];
    const { tell } = setUp(async ({ object: { namespace } }) => {
      await (namespace === 'slow' && gate.promise);
      return created.push(namespace) > 0;
    });
    tell({ ...nothing, failing: [failing('slow', false), failing('b', false)] });
    await eventually('the other Event is out', () => created.includes('b'), 30_000);
    assert.deepEqual(created, ['b']);
    gate.resolve();
    await eventually('both are out', () => created.length === 2);
  });

  it('of a namespace whose hosts fail again and again leaves room for the others, and starts anew in the next hour', async () => {
    const events: KubeEvent[] = [];
    const { tell, clock } = setUp(async (event) => events.push(event) > 0);
    for (let plan = 0; plan < 100; plan += 1) {
      const host = `${String(plan).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`;
      tell({ ...nothing, failing: [{ ...failing('a', false), host }] });
    }
    tell({ ...nothing, failing: [failing('b', false)] });
    clock.now += 3_600_000;
    tell({ ...nothing, failing: [failing('a', false)] });
    await eventually('those of both hours are out', () => events.length === 22);
    assert.deepEqual(
      Map.groupBy(events, ({ object }) => object.namespace)
        .values()
        .map((all) => all.length)
        .toArray(),
      [21, 1],
    );
  });

  it('of one more namespace goes out before the second Event of any other, however many wait', async () => {
    const events: KubeEvent[] = [];
    const { tell } = setUp(async (event) => events.push(event) > 0);
    const hosts = Array.from(
      { length: 5 },
      (_, index) => `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`,
    );
    const many = Array.from({ length: 300 }, (_, index) => `team-${index}`).flatMap((namespace) =>
      hosts.map((host) => ({ ...failing(namespace, true), host })),
    );
    const unsent: string[] = [];
    tell({ ...nothing, failing: many }, ({ namespace }) => unsent.push(namespace));
    tell({ ...nothing, failing: [failing('b', true)] }, ({ namespace }) => unsent.push(namespace));
    await eventually('all that were accepted are out', () => events.length + unsent.length === 1501, 30_000);
    const place = events.findIndex(({ object }) => object.namespace === 'b');
    assert.ok(place >= 0 && place <= 300, `it is number ${place}`);
    assert.ok(unsent.length > 0 && new Set(unsent).size < 300, 'what had to wait is reported as unsent');
  });

  it('that the API server failed to take is reported as unsent, unless another try is of no use', async () => {
    const codes: Record<string, KubeErrorCode> = { a: 'server-error', b: 'forbidden', c: 'timeout' };
    let asked = 0;
    const { tell } = setUp(async ({ object: { namespace } }) => {
      asked += 1;
      throw new KubeError({ code: codes[namespace] ?? 'unknown', operation: 'create Event' });
    });
    const unsent: string[] = [];
    const all = Object.keys(codes).map((namespace) => failing(namespace, true));
    tell({ ...nothing, failing: all }, ({ namespace }) => unsent.push(namespace));
    await eventually('all were tried', () => asked === 3);
    await eventually('two are unsent', () => unsent.length === 2);
    assert.deepEqual(unsent.toSorted(), ['a', 'c']);
  });

  it('has the same name from every replica within an hour, and another one in the next', async () => {
    const names: string[] = [];
    const create = async ({ name }: KubeEvent) => names.push(name) > 0;
    const [one, two] = [setUp(create), setUp(create)];
    one.tell({ ...nothing, failing: [failing('a', true)] });
    two.clock.now += 60_000;
    two.tell({ ...nothing, failing: [failing('a', true)] });
    await eventually('both are out', () => names.length === 2);
    two.clock.now += 3_600_000;
    two.tell({ ...nothing, failing: [failing('a', true)] });
    await eventually('the third is out', () => names.length === 3);
    assert.equal(names[0], names[1]);
    assert.notEqual(names[0], names[2]);
    assert.match(names[0] ?? '', /^[a-z0-9.-]{1,253}$/);
  });

  it('of a host that is well again is told where there is still a Secret with it', async () => {
    const events: KubeEvent[] = [];
    const { tell } = setUp(async (event) => events.push(event) > 0);
    tell({
      ...nothing,
      recovered: [
        { namespace: 'gone', host },
        { namespace: 'a', host },
      ],
    });
    await eventually('it is out', () => events.length === 1);
    assert.deepEqual([events[0]?.type, events[0]?.reason], ['Normal', 'PullTokenRenewed']);
  });

  it('that cannot be told as an Event is told once in the log, and keeps nothing from going on', async () => {
    let asked = 0;
    const { tell, logged } = setUp(async () => {
      asked += 1;
      throw new Error('no rights');
    });
    tell({ ...nothing, failing: [failing('a', true), failing('b', true), failing('c', true)] });
    await eventually('all were tried', () => asked === 3);
    const lines = await logged();
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /failed to create an Event/);
  });

  it('of tokens that end soon is a warning in the log, with or without Events', async () => {
    const { tell, logged } = setUp(undefined);
    const message = 'No ECR token for us-east-1: denied';
    const one = { code: 'AccessDenied', permanent: true, message, namespaces: 7, firstExpiresAt: now };
    tell({ failing: [failing('a', true)], recovered: [], expiring: [one] });
    const [line] = await logged();
    const { level, namespaces, firstExpiresAt, permanent } = JSON.parse(line ?? '');
    assert.deepEqual(
      { level, namespaces, firstExpiresAt, permanent },
      { level: 'warn', namespaces: 7, firstExpiresAt: '2026-11-23T12:30:00.000Z', permanent: true },
    );
  });
});
