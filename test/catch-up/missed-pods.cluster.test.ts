// Tests that no pod is missed, with the chart's webhook and permissions, on a real API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { getItems } from '../../src/util/json.ts';
import { describeChartOnCluster, itWithPolicy } from '../chart/chart-suite.ts';
import { registry } from '../chart/install-modes.ts';
import { addSidecar, getImages, LateWebhooks, toPullThroughCache } from '../chart/late-webhooks.ts';
import { getLocalProgramValues, installWithLocalProgram, startLocalProgram } from '../chart/local-program.ts';
import { createRelease, type Release } from '../chart/release.ts';
import { getValueAt } from '../chart/rendered-objects.ts';
import { clusterRole, forbiddenPattern, openTemporaryRole } from '../chart/roles.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { type BulkClient, createBulkClient } from '../support/bulk-requests.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { ReplicaSetDouble } from './replica-set-double.ts';

const image = `${registry}/app:1`;

/** Events are created at 5 per second, and pods are deleted at one per second. */
const slowMs = 240_000;

describeChartOnCluster('pods that were created while no replica ran', (cluster, helm) => {
  const values = {
    injection: 'webhook',
    config: { catchUp: { interval: '30s', minimumAge: '0s', evict: true } },
  };
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let bulk: BulkClient;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, values);
    bulk = createBulkClient(cluster().kubeconfigPath);
  });
  after(async () => {
    bulk?.close();
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  const startAgain = async () => {
    program = await startLocalProgram(release, ecr);
    await release.upgrade(getLocalProgramValues(values, program));
  };
  const readGauge = async () => {
    const text = await program.metrics();
    return Number(/^ecr_pull_secrets_uninjected_pods (\d+)$/m.exec(text)?.[1]);
  };
  const findEvents = async (reason: string, namespaces: readonly string[]) => {
    const events = getItems(getValueAt(await bulk.request('GET', '/api/v1/events'), 'items'));
    return events.filter(
      (event) =>
        getValueAt(event, 'reason') === reason &&
        namespaces.includes(getValueAt(event, 'involvedObject.namespace')),
    );
  };
  const createPods = (namespace: string, count: number, spec = {}) =>
    Promise.all(
      Array.from({ length: count }, () =>
        bulk.request('POST', `/api/v1/namespaces/${namespace}/pods`, podWith([image], spec)),
      ),
    );
  const namesOf = (prefix: string) => Array.from({ length: 20 }, (_, index) => `${prefix}-${index}`);

  it('are all reported in the first round, get their tokens, and are replaced by their controllers', async () => {
    const [existing, added, referring] = [namesOf('existing'), namesOf('added'), namesOf('referring')];
    const optedOut = 'opted-out';
    await bulk.createNamespaces(existing);
    for (const namespace of existing) {
      assert.deepEqual((await createPod(cluster(), namespace, podWith([image]))).pullSecrets, [
        'ecr-pull-secrets',
      ]);
    }
    await program.stop();
    await bulk.createNamespaces([...added, ...referring]);
    const labels = { 'ecr-pull-secrets.io/inject': 'false' };
    await bulk.request('POST', '/api/v1/namespaces', { metadata: { name: optedOut, labels } });
    // 200 pods, 12 of them of a controller; in the namespaces below none is to be reported
    const controllers = existing
      .slice(0, 4)
      .map((namespace) => new ReplicaSetDouble(bulk, namespace, image, 3));
    for (const controller of controllers) {
      await controller.reconcile();
    }
    for (const [index, namespace] of [...existing, ...added].entries()) {
      await createPods(namespace, index < controllers.length ? 2 : 5);
    }
    await createPods(optedOut, 3);
    const imagePullSecrets = [{ name: 'ecr-pull-secrets' }];
    for (const namespace of referring) {
      await createPods(namespace, 1, { imagePullSecrets });
    }
    await startAgain();
    await eventually('the first round counts all', async () => (await readGauge()) === 200);
    for (const namespace of referring) {
      await eventually(`the Secret of ${namespace} exists`, async () => {
        return (await readPullSecret(cluster(), namespace))?.auths[registry] !== undefined;
      });
    }
    const missed = [...existing, ...added];
    await eventually(
      'each pod has an Event',
      async () => (await findEvents('PullSecretNotInjected', missed)).length === 200,
      slowMs,
    );
    await eventually(
      'the pods of controllers are replaced, and have the reference',
      async () => {
        for (const controller of controllers) {
          await controller.reconcile();
        }
        const pods = await Promise.all(controllers.map((controller) => controller.listPods()));
        return pods.every((one) => one.length === 3 && one.every(({ isInjected }) => isInjected));
      },
      slowMs,
    );
    assert.equal((await findEvents('EvictedForPullSecret', missed)).length, 12);
    await eventually('the others are still counted', async () => (await readGauge()) === 188, slowMs);
    const silent = [optedOut, ...referring];
    assert.deepEqual(await findEvents('PullSecretNotInjected', silent), []);
    const log = program.log().filter(({ level }) => level === 'warn' || level === 'error');
    const unexpected = log.filter(
      ({ msg }) => msg !== 'pods have no reference to the pull Secret; recreate them',
    );
    assert.deepEqual(unexpected, []);
  });

  it('include a pod whose sidecar another webhook rewrote to ECR after the last call of the program', async () => {
    const late = new LateWebhooks(cluster());
    try {
      await late.register('kyverno-resource-mutating-webhook-cfg', 'IfNeeded', toPullThroughCache);
      await late.register('vault-agent-injector-cfg', 'Never', addSidecar);
      let stored: unknown;
      const isRewritten = (pod: unknown) => {
        stored = pod;
        return getImages(pod).includes(`${registry}/hashicorp/vault:1.20`);
      };
      const pullSecrets = await late.create(() => podWith(['ghcr.io/example/app:1']), isRewritten);
      assert.deepEqual(pullSecrets, []);
      const { namespace, uid } = getValueAt(stored, 'metadata');
      await eventually(
        'the pod has an Event',
        async () => {
          const events = await findEvents('PullSecretNotInjected', [namespace]);
          return events.some((event) => getValueAt(event, 'involvedObject.uid') === uid);
        },
        slowMs,
      );
    } finally {
      await late.removeAll();
    }
  });
});

describeChartOnCluster('pods that only the policy saw, because no replica ran', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let bulk: BulkClient;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr);
    bulk = createBulkClient(cluster().kubeconfigPath);
  });
  after(async () => {
    bulk?.close();
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  itWithPolicy(cluster, 'get the Secret of their new namespace in the first round', async () => {
    const namespaces = Array.from({ length: 20 }, (_, index) => `new-${index}`);
    await program.stop();
    await bulk.createNamespaces(namespaces);
    for (const namespace of namespaces) {
      await eventually(`the policy adds the reference in ${namespace}`, async () => {
        const { pullSecrets } = await createPod(cluster(), namespace, podWith([image]));
        return pullSecrets.join() === 'ecr-pull-secrets';
      });
      assert.equal(await readPullSecret(cluster(), namespace), undefined);
    }
    program = await startLocalProgram(release, ecr);
    const round = await eventually(
      'the first round has ended',
      () => program.log().find(({ msg }) => msg === 'checked pending pods'),
      slowMs,
    );
    assert.deepEqual([round['ensuredNamespaces'], round['incompleteNamespaces']], [namespaces.length, 0]);
    for (const namespace of namespaces) {
      const secret = await readPullSecret(cluster(), namespace);
      assert.ok(Date.parse(secret?.hosts[registry]?.expiresAt ?? '') > Date.now(), namespace);
    }
  });
});

describeChartOnCluster('the permissions of catch-up', (cluster, helm) => {
  const role = openTemporaryRole((...call) => cluster().request(...call), clusterRole);
  const values = {
    injection: 'webhook',
    config: { catchUp: { interval: '30s', minimumAge: '0s', evict: true } },
  };
  let ecr: EcrDouble;
  let release: Release;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    await release.install(getLocalProgramValues(values));
    await role.read();
    const bulk = createBulkClient(cluster().kubeconfigPath);
    await bulk.createNamespaces(['shop']);
    await new ReplicaSetDouble(bulk, 'shop', image, 1).reconcile();
    bulk.close();
  });
  after(async () => {
    await release?.uninstall();
    await ecr.stop();
  });

  const verbs = [
    ['list', 'pods'],
    ['list', 'namespaces'],
    ['delete', 'pods'],
  ] as const;
  for (const [verb, resource] of verbs) {
    it(`are all necessary: without ${verb} on ${resource}, the log reports the missing permission`, async () => {
      await role.without(verb, resource);
      const program = await startLocalProgram(release, ecr);
      try {
        await eventually(
          'the log reports it',
          () =>
            program
              .log()
              .some(
                (line) =>
                  /check pending pods|delete a pod/.test(String(line['msg'])) &&
                  forbiddenPattern(verb, resource).test(JSON.stringify(line)),
              ),
          slowMs,
        );
        assert.match(
          await program.metrics(),
          /_(catch_up_rounds|pod_evictions)_total\{outcome="forbidden"\} \d/,
        );
      } finally {
        await program.stop();
        await role.restore();
      }
    });
  }
});
