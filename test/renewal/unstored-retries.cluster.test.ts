// Tests retries and Events for namespaces that refuse their pull Secret for minutes, on a clock that the test moves.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { getField, getItems } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { type ShiftedClockReplica, startShiftedClockReplica } from './shifted-clock-replica.ts';
import { writeFailureCases } from './write-failures.ts';

const [first, second] = [hostIn('eu-central-1'), hostIn('us-east-1')];
const secondMs = 1_000;
const blockedForMs = 200_000;

describeOnCluster('a namespace that refuses its pull Secret for minutes', (cluster) => {
  let ecr: EcrDouble;
  let replica: ShiftedClockReplica;
  before(async () => {
    ecr = await startEcrDouble();
    Object.assign(process.env, ecr.env()); // the AWS SDK reads the environment itself
    replica = await startShiftedClockReplica({ ecr, kubeconfigPath: await installServiceAccount(cluster()) });
  });
  after(async () => {
    await replica.stop();
    await ecr.stop();
  });

  const listEvents = async (namespace: string) => {
    const { body } = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
    return getItems(getField(body, 'items')).map((event) => [
      getField(event, 'reason'),
      getField(event, 'message'),
    ]);
  };
  const isComplete = async (namespace: string, hosts: readonly string[]) => {
    const auths = (await readPullSecret(cluster(), namespace))?.auths ?? {};
    return hosts.every((host) => auths[host] !== undefined);
  };
  const admitted = async (namespace: string, hosts: readonly string[]) => {
    const isStored = async () => (await replica.admit(namespace, hosts)).length === 0;
    await eventually('the Secret has the tokens', isStored, 30_000);
  };
  /** Seconds of the program's clock until the Secret is complete; infinite after 60. */
  const recoversWithin = async (namespace: string, hosts: readonly string[]) => {
    for (let seconds = 1; seconds <= 60; seconds += 1) {
      await replica.pass(secondMs);
      if (await isComplete(namespace, hosts)) {
        return seconds;
      }
    }
    return Number.POSITIVE_INFINITY;
  };
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5 * secondMs) {
      await replica.pass(5 * secondMs);
    }
  };
  const overdueCodes = (namespace: string) => [
    ...new Set(replica.overdue(namespace).map(({ failure }) => failure.permanent)),
  ];

  for (const { name, permanent, put } of writeFailureCases) {
    const [delay, beforeMs, untilMs] = permanent
      ? ['within half a minute', 10 * secondMs, 20 * secondMs]
      : ['after a minute', 40 * secondMs, 25 * secondMs];
    it(`gets an Event ${delay}, and its Secret within a minute after the fix: ${name}`, async () => {
      const namespace = await cluster().createNamespace();
      const fix = await put(cluster(), namespace);
      if (name === 'an unmanaged Secret') {
        await eventually(
          'the watch has reported it',
          () => replica.secretCache.get(namespace)?.isManaged === false,
        );
      }
      assert.equal((await replica.admit(namespace, [first])).length, 1);
      // the pods of the namespace are listed meanwhile
      await createPod(cluster(), namespace, referringPod([`${first}/app`]));
      await pass(beforeMs);
      assert.deepEqual([overdueCodes(namespace), await listEvents(namespace)], [[permanent], []]);
      await pass(untilMs);
      const [event] = await eventually(
        'there is an Event',
        async () => {
          const all = await listEvents(namespace);
          return all.length > 0 && all;
        },
        30_000,
      );
      assert.equal(event?.[0], permanent ? 'PullTokenRefused' : 'PullTokenRenewalFailed');
      assert.match(String(event?.[1]), new RegExp(`^${first}: `));
      await pass(blockedForMs);
      assert.deepEqual(overdueCodes(namespace), [permanent]);
      await fix();
      if (name === 'an unmanaged Secret') {
        await eventually('the watch has reported it', () => replica.secretCache.get(namespace) === undefined);
        assert.ok((await recoversWithin(namespace, [first])) <= 3);
      } else {
        assert.ok((await recoversWithin(namespace, [first])) <= 60);
      }
      await replica.pass(10 * secondMs);
      assert.deepEqual(replica.overdue(namespace), []);
    });
  }

  it('gets a second host within a minute after the fix', async () => {
    const namespace = await cluster().createNamespace();
    await admitted(namespace, [first]);
    const [webhook] = writeFailureCases;
    const fix = await webhook?.put(cluster(), namespace);
    assert.equal((await replica.admit(namespace, [second])).length, 1);
    await createPod(cluster(), namespace, referringPod([`${first}/app`, `${second}/app`]));
    await pass(blockedForMs);
    assert.deepEqual(
      replica.overdue(namespace).map(({ host }) => host),
      [second],
    );
    await fix?.();
    assert.ok((await recoversWithin(namespace, [first, second])) <= 60);
  });

  it('fails while an unmanaged Secret replaces its managed one', async () => {
    const namespace = await cluster().createNamespace();
    await admitted(namespace, [first, second]);
    await createPod(cluster(), namespace, referringPod([`${first}/app`]));
    await cluster().request('DELETE', secretPath(namespace));
    const unmanaged = writeFailureCases.find(({ name }) => name === 'an unmanaged Secret');
    const fix = await unmanaged?.put(cluster(), namespace);
    await eventually(
      'the watch has reported it',
      () => replica.secretCache.get(namespace)?.isManaged === false,
    );
    await pass(75 * secondMs);
    assert.deepEqual(
      replica.overdue(namespace).map(({ host, failure }) => [host, failure.code]),
      [[first, 'unmanaged-secret']],
      'no pod uses the other host',
    );
    await eventually('there is an Event', async () => (await listEvents(namespace)).length > 0, 30_000);
    await fix?.();
    await eventually('the watch has reported it', () => replica.secretCache.get(namespace) === undefined);
    assert.ok((await recoversWithin(namespace, [first])) <= 4);
  });

  it('no longer counts as failing when no pod uses the host', async () => {
    const namespace = await cluster().createNamespace();
    await writeFailureCases.find(({ name }) => name === 'a quota of no Secrets')?.put(cluster(), namespace);
    assert.equal((await replica.admit(namespace, [first])).length, 1);
    await replica.pass(secondMs);
    assert.equal(replica.overdue(namespace).length, 1);
    await pass(60 * secondMs);
    assert.deepEqual(replica.overdue(namespace), []);
  });

  it('is found again after a restart by its pods, if an unmanaged Secret exists', async (t) => {
    const namespace = await cluster().createNamespace();
    const unmanaged = writeFailureCases.find(({ name }) => name === 'an unmanaged Secret');
    const fix = await unmanaged?.put(cluster(), namespace);
    await createPod(cluster(), namespace, referringPod([`${first}/app`]));
    const other = podWith([`${second}/app`]); // of a user who does not need the Secret
    await createPod(cluster(), namespace, other);
    const restarted = await startShiftedClockReplica({
      ecr,
      kubeconfigPath: await installServiceAccount(cluster()),
    });
    t.after(() => restarted.stop());
    await restarted.pass(5 * secondMs);
    await restarted.pass(secondMs);
    assert.deepEqual(
      restarted.overdue(namespace).map(({ host, failure }) => [host, failure.code]),
      [[first, 'unmanaged-secret']],
    );
    await fix?.();
    await eventually('the watch has reported it', () => restarted.secretCache.get(namespace) === undefined);
    await restarted.pass(5 * secondMs);
    await eventually('its first token is stored', () => isComplete(namespace, [first]), 30_000);
  });
});

const referringPod = (images: readonly string[]) =>
  podWith(images, { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] });
