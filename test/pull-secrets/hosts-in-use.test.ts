// Tests how often the pods of a namespace are listed to find the hosts in use, and when these are unknown.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import { createHostCollector, PodHostLister } from '../../src/pull-secrets/hosts-in-use.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { resolveRegistry } from '../support/registries.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const minuteMs = 60_000;

function setUp() {
  const clock = { now: 0 };
  const lists: { namespace: string; end: (code?: KubeErrorCode) => void }[] = [];
  const messages: string[] = [];
  const pods = new PodHostLister({
    list: (namespace, onPod) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const end = (code?: KubeErrorCode) => {
        onPod({ metadata: { name: 'app' }, spec: { containers: [{ image: `${host}/app` }] } });
        return code === undefined ? resolve() : reject(new KubeError({ code, operation: 'list pods' }));
      };
      lists.push({ namespace, end });
      return promise;
    },
    monotonicNow: () => clock.now,
    resolveRegistry,
    log: createJsonLog('info', { write: (line) => void messages.push(JSON.parse(line).msg) }),
  });
  /** Requests the hosts, and completes the list that this starts, if any. */
  const listOnce = async (namespace: string, code?: KubeErrorCode) => {
    const before = lists.length;
    const result = pods.listHosts(namespace);
    await new Promise((resolve) => setImmediate(resolve));
    for (const { end } of lists.slice(before)) {
      end(code);
    }
    const hosts = await result;
    return { hosts: hosts && [...hosts], listed: lists.length - before };
  };
  return { clock, lists, messages, pods, listOnce };
}

describe('the hosts that pods use', () => {
  it('are listed once for all simultaneous callers, two namespaces at a time', async () => {
    const { pods, lists } = setUp();
    const results = ['a', 'a', 'b', 'c', 'a'].map((namespace) => pods.listHosts(namespace));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      lists.map(({ namespace }) => namespace),
      ['a', 'b'],
    );
    for (const { end } of lists) {
      end();
    }
    await new Promise((resolve) => setImmediate(resolve));
    lists[2]?.end();
    const named = (await Promise.all(results)).map((hosts) => hosts?.get(host));
    assert.deepEqual(named, Array(5).fill('app'));
    assert.equal(lists.length, 3);
  });

  it('are listed at most every 5 s in a namespace; a new result is reused for 2 s', async () => {
    const { clock, pods, listOnce } = setUp();
    const known = [[host, 'app']];
    assert.deepEqual(await listOnce('a'), { hosts: known, listed: 1 });
    clock.now = 2_000;
    assert.equal(pods.canList('a'), true);
    assert.deepEqual(await listOnce('a'), { hosts: known, listed: 0 });
    clock.now = 4_999;
    assert.equal(pods.canList('a'), false);
    assert.deepEqual(await listOnce('a'), { hosts: undefined, listed: 0 });
    assert.deepEqual(
      await listOnce('b'),
      { hosts: known, listed: 1 },
      'another namespace has its own interval',
    );
    clock.now = 5_000;
    assert.deepEqual(await listOnce('a'), { hosts: known, listed: 1 });
  });

  it('are unknown after a failure, never incomplete, and listed again after 5 s', async () => {
    const { clock, messages, listOnce } = setUp();
    assert.deepEqual(await listOnce('a', 'server-error'), { hosts: undefined, listed: 1 });
    assert.deepEqual(await listOnce('a'), { hosts: undefined, listed: 0 });
    clock.now = 5_000;
    assert.equal((await listOnce('a')).listed, 1);
    assert.equal(messages.length, 1);
  });

  it('are not listed for 5 min without the permission, which is logged once', async () => {
    const { clock, messages, pods, listOnce } = setUp();
    await listOnce('a', 'forbidden');
    await listOnce('b', 'forbidden');
    assert.equal(pods.isForbidden('a'), true);
    clock.now = 5 * minuteMs - 1;
    assert.equal(pods.canList('a'), false);
    assert.equal((await listOnce('a')).listed, 0);
    clock.now = 5 * minuteMs;
    assert.equal((await listOnce('a')).listed, 1, 'the permission may have been granted');
    assert.equal(pods.isForbidden('a'), false);
    assert.equal(messages.length, 1);
    assert.match(messages[0] ?? '', /^not allowed to list pods/);
  });

  it('are listed less often if a list takes long, so that no namespace blocks others', async () => {
    const { clock, pods, lists } = setUp();
    const result = pods.listHosts('a');
    await new Promise((resolve) => setImmediate(resolve));
    clock.now = 10_000;
    lists[0]?.end();
    await result;
    clock.now = 60_000 - 1;
    assert.equal(pods.canList('a'), false);
    clock.now = 60_000;
    assert.equal(pods.canList('a'), true);
  });

  it('are immediately unknown if too many namespaces wait', async () => {
    const { pods, lists } = setUp();
    const first = Array.from({ length: 52 }, (_, index) => pods.listHosts(`team-${index}`));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await pods.listHosts('one-more'), undefined);
    for (let ended = 0; ended < first.length; ended += 1) {
      lists[ended]?.end();
      await first[ended];
    }
    assert.equal(lists.length, 52);
  });

  it('are marked if their pod refers to the pull Secret', () => {
    const { add, hosts, referring } = createHostCollector(resolveRegistry, 'ecr-pull-secrets');
    const other = host.replace('eu-central-1', 'us-east-1');
    const pod = (name: string, image: string, ...secrets: string[]) => ({
      metadata: { name },
      spec: { containers: [{ image }], imagePullSecrets: secrets.map((secret) => ({ name: secret })) },
    });
    add(pod('plain', `${host}/app`));
    add(pod('another', `${other}/app`, 'mine'));
    add(pod('referring', `${host}/app`, 'mine', 'ecr-pull-secrets'));
    add({ spec: { containers: [{ image: `${host}/app` }], imagePullSecrets: 'nonsense' } });
    assert.deepEqual(
      [...hosts],
      [
        [host, 'plain'],
        [other, 'another'],
      ],
    );
    assert.deepEqual([...referring], [host]);
    assert.equal(createHostCollector(resolveRegistry).referring.size, 0);
  });

  it('are unknown if there are more than can be kept', () => {
    const { add } = createHostCollector(resolveRegistry);
    const images = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => ({
        image: `${String(from + index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com/x`,
      }));
    add({ metadata: { name: 'many' }, spec: { containers: images(0, 10_000) } });
    add({ metadata: { name: 'same' }, spec: { containers: images(0, 10) } });
    assert.throws(() => add({ spec: { containers: images(10_000, 1) } }), /more than 10000 hosts/);
  });
});
