// Tests when hosts leave a Secret: dropped for room, forgotten, or removed by a command, on any API server.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { removeHosts } from '../../src/commands/remove-host.ts';
import { getPodRegistries } from '../../src/ecr/pod-images.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { listPods } from '../../src/kube/pods.ts';
import { podCreationMs } from '../../src/pull-secrets/missing-hosts.ts';
import { noOperatorMetadata } from '../../src/pull-secrets/operator-metadata.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { runOnce } from '../commands/run-command.ts';
import { createAccountWithRules, podsRule, secretsRule } from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, type Pod, podWith } from '../support/pods.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { declareHousekeepingReplicas, type HousekeepingFixture } from './housekeeping-fixture.ts';

const hostOf = (account: number, region = 'eu-central-1') =>
  `${String(account).padStart(12, '0')}.dkr.ecr.${region}.amazonaws.com`;
const real = hostOf(123_456_789_012);

describeOnEachApiServer('hosts that leave a Secret', hostsSuite);

/** How hosts are removed from a Secret, on any API server. */
function hostsSuite(apiServer: () => TestApiServer): void {
  const { ecr, start: startFixture } = declareHousekeepingReplicas(apiServer, [secretsRule, podsRule]);
  /** Calls the webhook first and then stores the pod, as the API server does. */
  const admit = async (one: HousekeepingFixture, namespace: string, pod: Pod) => {
    const missing = await one.secrets.ensure(namespace, getPodRegistries(pod, resolveRegistry));
    assert.equal((await createPod(apiServer(), namespace, pod)).status, 201);
    return missing.map(({ host, code }) => `${host} ${code}`);
  };
  const removePod = async (namespace: string, { metadata: { name } }: Pod) => {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`;
    assert.equal((await apiServer().request('DELETE', path)).status, 200);
  };
  const hostsIn = async (namespace: string) => {
    const secret = await readPullSecret(apiServer(), namespace);
    return Object.keys(secret?.hosts ?? {});
  };
  const hasToken = async (namespace: string, host: string) =>
    (await readPullSecret(apiServer(), namespace))?.auths[host] !== undefined;

  describe('a pod with 200 look-alike accounts of a real region', () => {
    const lookAlikes = () => podWith(Array.from({ length: 200 }, (_, index) => `${hostOf(index + 1)}/x`));

    it('keeps the Secret full while it exists, which is reported; after its deletion, the real host gets its token', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture();
      const attacker = lookAlikes();
      assert.deepEqual(await admit(one, namespace, attacker), []);
      assert.equal((await hostsIn(namespace)).length, 200);

      const honest = podWith([`${real}/app`]);
      assert.deepEqual(await admit(one, namespace, honest), [`${real} secret-full`]);
      one.advanceClocks(podCreationMs);
      await one.round();
      assert.equal((await hostsIn(namespace)).length, 200, 'a host that a pod uses is never removed');
      assert.equal(one.missing.fullSecretCount, 1);
      assert.deepEqual(
        one.full.map((full) => ({ ...full })),
        [{ namespace, hosts: [real], stored: 200, forbidden: false }],
      );

      await removePod(namespace, attacker);
      await eventually('the real host has its token, although no other pod is created', async () => {
        one.advanceClocks(podCreationMs);
        await one.round();
        return hasToken(namespace, real);
      });
      assert.equal((await hostsIn(namespace)).length, 200, 'no more hosts were removed than necessary');
      assert.deepEqual(one.dropped, [`${namespace} secret-full 1`]);
      assert.equal(one.missing.fullSecretCount, 0);
      const [line] = one.log.filter(({ msg }) => msg === 'hosts dropped from the pull Secret');
      assert.deepEqual([line?.['namespace'], line?.['reason']], [namespace, 'secret-full']);
    });

    it('makes room immediately for a pod that is created after its deletion', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture();
      const attacker = lookAlikes();
      await admit(one, namespace, attacker);
      await removePod(namespace, attacker);
      one.advanceClocks(podCreationMs);
      assert.deepEqual(await admit(one, namespace, podWith([`${real}/app`])), []);
      assert.ok(await hasToken(namespace, real));
    });

    it('keeps the Secret full without the permission to list pods, which is logged once', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture(
        { secrets: { maxHosts: 2 } },
        await createAccountWithRules(apiServer(), [secretsRule]),
      );
      const attacker = podWith([`${hostOf(1)}/x`, `${hostOf(2)}/x`]);
      await admit(one, namespace, attacker);
      await removePod(namespace, attacker);
      assert.deepEqual(await admit(one, namespace, podWith([`${real}/app`])), [`${real} secret-full`]);
      for (let round = 0; round < 5; round += 1) {
        one.advanceClocks(podCreationMs);
        await one.round();
      }
      assert.deepEqual(await hostsIn(namespace), [hostOf(1), hostOf(2)]);
      assert.equal(one.log.filter(({ msg }) => String(msg).startsWith('not allowed to list pods')).length, 1);
      assert.deepEqual(
        one.full.map(({ hosts, forbidden }) => ({ hosts, forbidden })),
        [{ hosts: [real], forbidden: true }],
      );
      assert.deepEqual(one.dropped, []);
    });
  });

  it('never drops a host that is configured, or that a pod has just requested', async () => {
    const namespace = await apiServer().createNamespace();
    const configured = hostOf(7);
    const one = await startFixture({ secrets: { maxHosts: 2 }, provisioning: { registries: [configured] } });
    const admitted = hostOf(8);
    assert.deepEqual(
      await one.secrets.ensure(namespace, getPodRegistries(podWith([`${configured}/x`]), resolveRegistry)),
      [],
    );
    one.advanceClocks(podCreationMs);
    assert.deepEqual(
      await one.secrets.ensure(namespace, getPodRegistries(podWith([`${admitted}/x`]), resolveRegistry)),
      [],
    );
    assert.deepEqual(await admit(one, namespace, podWith([`${real}/app`])), [`${real} secret-full`]);
    one.advanceClocks(podCreationMs);
    await one.round();
    assert.deepEqual(await hostsIn(namespace), [configured, real].toSorted());
  });

  it('adds a host again that was dropped just before its pod was stored', async () => {
    const namespace = await apiServer().createNamespace();
    const [one, other] = [await startFixture({ secrets: { maxHosts: 1 } }), await startFixture()];
    const late = podWith([`${hostOf(1)}/late`]);
    await other.secrets.ensure(namespace, getPodRegistries(late, resolveRegistry));
    await eventually('both know the host', () => one.secretCache.get(namespace)?.hosts.has(hostOf(1)));
    const first = podWith([`${real}/app`]);
    assert.deepEqual(await admit(one, namespace, first), []);
    assert.deepEqual(await hostsIn(namespace), [real]);
    assert.equal((await createPod(apiServer(), namespace, late)).status, 201);
    await removePod(namespace, first);
    await eventually('the host of the late pod is stored', async () => {
      one.advanceClocks(podCreationMs);
      await one.round();
      return hasToken(namespace, hostOf(1));
    });
  });

  it('forgets a host that never received a token, unless a pod names it or it was requested recently', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startFixture({ secrets: { forgetAfter: '10m' } });
    ecr().fail({ error: 'AccessDeniedException' }, { region: 'us-west-2' });
    const [gone, used, young] = [1, 2, 3].map((number) => hostOf(number, 'us-west-2'));
    const brief = podWith([`${gone}/x`, `${real}/app`]);
    await admit(one, namespace, brief);
    await admit(one, namespace, podWith([`${used}/x`]));
    await removePod(namespace, brief);
    one.advanceClocks(10 * 60_000);
    await one.secrets.ensure(namespace, getPodRegistries(podWith([`${young}/x`]), resolveRegistry));
    one.advanceClocks(10 * 60_000 - 60_000); // replicas are spread over half of this
    await one.round();
    assert.deepEqual(await hostsIn(namespace), [used, young, real].toSorted());
    assert.deepEqual(one.dropped, [`${namespace} expired-request 1`]);
    assert.ok(await hasToken(namespace, real), 'a host with a token is not forgotten');
  });

  it('logs every host that it forgets, however many there are', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startFixture({ secrets: { forgetAfter: '10m' } });
    ecr().fail({ error: 'AccessDeniedException' }, { region: 'us-west-2' });
    const hosts = Array.from({ length: 180 }, (_, index) => hostOf(index, 'us-west-2'));
    const images = [real, ...hosts].map((host) => `${host}/x`);
    await one.secrets.ensure(namespace, getPodRegistries(podWith(images), resolveRegistry));
    one.advanceClocks(3_600_000);
    await one.forget(namespace);
    assert.deepEqual(await hostsIn(namespace), [real]);
    const named = one.log
      .filter(({ reason }) => reason === 'expired-request')
      .flatMap((line) => line['hosts']);
    assert.deepEqual(named.toSorted(), hosts);
    assert.deepEqual(one.dropped, [`${namespace} expired-request 180`]);
  });

  it('forgets nothing in a Secret that a user has just edited, because it has to be repaired first', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startFixture({ secrets: { forgetAfter: '10m' } });
    ecr().fail({ error: 'AccessDeniedException' }, { region: 'us-west-2' });
    const waiting = hostOf(1, 'us-west-2');
    await one.secrets.ensure(
      namespace,
      getPodRegistries(podWith([`${waiting}/x`, `${real}/app`]), resolveRegistry),
    );
    const { body } = await apiServer().request('GET', secretPath(namespace));
    const edited = structuredClone(body) as { data: Record<string, string> };
    edited.data['.dockerconfigjson'] = btoa('{"auths":{}}');
    assert.equal((await apiServer().request('PUT', secretPath(namespace), edited)).status, 200);
    one.advanceClocks(3_600_000);
    const { resourceVersion } = (await readPullSecret(apiServer(), namespace)) ?? {};
    await one.forget(namespace);
    assert.equal((await readPullSecret(apiServer(), namespace))?.resourceVersion, resourceVersion);
  });

  it('forgets nothing without the permission to list pods, and records the request time of hosts of an older version', async () => {
    const namespace = await apiServer().createNamespace();
    const one = await startFixture(
      { secrets: { forgetAfter: '10m' } },
      await createAccountWithRules(apiServer(), [secretsRule]),
    );
    ecr().fail({ error: 'AccessDeniedException' }, { region: 'us-west-2' });
    const host = hostOf(1, 'us-west-2');
    await one.secrets.ensure(namespace, getPodRegistries(podWith([`${host}/x`]), resolveRegistry));
    const annotations = { 'ecr-pull-secrets.io/hosts': JSON.stringify({ [host]: null }) };
    const { body } = await apiServer().request('GET', secretPath(namespace));
    const older = structuredClone(body) as { metadata: Record<string, unknown> };
    older.metadata = { ...older.metadata, annotations };
    const query = '?fieldManager=ecr-pull-secrets';
    assert.equal((await apiServer().request('PUT', `${secretPath(namespace)}${query}`, older)).status, 200);
    await eventually('the cache has it', () => one.secretCache.get(namespace)?.requestedAt.size === 0);
    await one.round();
    await eventually('the time is stored', async () => {
      return (await readPullSecret(apiServer(), namespace))?.requestedAt[host] !== undefined;
    });
    one.advanceClocks(3_600_000);
    await one.round();
    assert.deepEqual(await hostsIn(namespace), [host]);
  });

  describe('remove-host', () => {
    const run = (namespace: string, hosts: string[], more: string[] = [], settings = {}) =>
      runOnce(
        ['remove-host', '--namespace', namespace, ...hosts, ...more],
        apiServer().kubeconfigPath,
        settings,
      );

    it('removes hosts that no pod uses, and neither of two running replicas restores them', async () => {
      const namespace = await apiServer().createNamespace();
      const replicas = [await startFixture(), await startFixture()];
      const [one] = replicas;
      assert.ok(one);
      const pod = podWith([`${real}/app`]);
      await admit(one, namespace, pod);
      await one.secrets.ensure(
        namespace,
        getPodRegistries(podWith([`${hostOf(1)}/x`, `${hostOf(2)}/x`]), resolveRegistry),
      );
      await eventually('both know all hosts', () =>
        replicas.every(({ secretCache }) => secretCache.get(namespace)?.hosts.size === 3),
      );
      // renewals that are planned before the removal and write after it
      const gate = ecr().hold();
      const renewing = replicas.map((replica) => {
        replica.advanceClocks(7 * 3_600_000);
        return replica.renewNow();
      });
      await eventually('both are waiting for ECR', () =>
        replicas.every(({ countRenewing }) => countRenewing() > 0),
      );
      const dry = await run(namespace, [hostOf(1), real], ['--dry-run', '--output', 'json']);
      assert.deepEqual(JSON.parse(dry.stdout).hosts, [
        { host: hostOf(1), outcome: 'would-remove' },
        { host: real, outcome: 'in-use', pod: pod.metadata.name },
      ]);
      assert.equal((await hostsIn(namespace)).length, 3);
      const { code, stdout } = await run(namespace, [hostOf(1), real, hostOf(9)]);
      assert.equal(code, 1);
      assert.match(stdout, new RegExp(`${hostOf(1)} +removed\n`));
      assert.match(stdout, new RegExp(`${real} +not removed: pod ${pod.metadata.name} uses it`));
      assert.match(stdout, new RegExp(`${hostOf(9)} +not in the pull Secret\n`));
      gate.open();
      await Promise.all(renewing);
      const left = [hostOf(2), real].toSorted();
      await eventually('both have seen it, and renewed', () =>
        replicas.every(({ secretCache }) => secretCache.get(namespace)?.hosts.size === 2),
      );
      for (const replica of replicas) {
        replica.advanceClocks(7 * 3_600_000);
        await replica.renewNow();
        await replica.round();
      }
      assert.deepEqual(await hostsIn(namespace), left);
      assert.equal(await hasToken(namespace, hostOf(1)), false);
      assert.ok(replicas.every(({ secretCache }) => secretCache.get(namespace)?.isIntact === true));
    });

    it('keeps configured hosts, and reports that', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture();
      await one.secrets.ensure(namespace, getPodRegistries(podWith([`${real}/app`]), resolveRegistry));
      const settings = { provisioning: { registries: [real] } };
      const { code, stdout } = await run(namespace, [real], [], settings);
      assert.equal(code, 1);
      assert.match(stdout, /not removed: remove it from provisioning\.registries first/);
      assert.deepEqual(await hostsIn(namespace), [real]);
    });

    it('keeps a host whose pod is created during the removal', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture();
      const pod = podWith([`${real}/app`]);
      await one.secrets.ensure(namespace, getPodRegistries(pod, resolveRegistry));
      const { kubeconfigPath } = apiServer();
      const config = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' });
      let lists = 0;
      const result = await removeHosts({
        operatorMetadata: noOperatorMetadata,
        ...{
          config,
          secretName: 'ecr-pull-secrets',
          namespace,
          hosts: [real],
          configured: [],
          dryRun: false,
        },
        resolveRegistry,
        log: createJsonLog('silent', { write: () => undefined }),
        listPods: async (of, onPod) => {
          lists += 1;
          if (lists === 2) {
            await createPod(apiServer(), of, pod);
          }
          await listPods(config, of, onPod);
        },
      });
      await config.close();
      assert.deepEqual(result.hosts, [{ host: real, outcome: 'in-use', pod: pod.metadata.name }]);
      assert.deepEqual((await readPullSecret(apiServer(), namespace))?.hosts, { [real]: null });
    });

    it('does not change a Secret that a user has just edited, because it has to be repaired first', async () => {
      const namespace = await apiServer().createNamespace();
      const one = await startFixture();
      await one.secrets.ensure(
        namespace,
        getPodRegistries(podWith([`${real}/app`, `${hostOf(1)}/app`]), resolveRegistry),
      );
      const { body } = await apiServer().request('GET', secretPath(namespace));
      const edited = structuredClone(body) as { metadata: Record<string, unknown> };
      edited.metadata = { ...edited.metadata, annotations: {} };
      assert.equal((await apiServer().request('PUT', secretPath(namespace), edited)).status, 200);
      await assert.rejects(run(namespace, [hostOf(1)]), /the Secret was edited and is not repaired yet/);
      assert.ok(await hasToken(namespace, hostOf(1)));
    });

    it('changes nothing without the permission to list pods, or if there is no Secret', async () => {
      const namespace = await apiServer().createNamespace();
      assert.match((await run(namespace, [real])).stdout, /not in the pull Secret/);
      const one = await startFixture();
      await one.secrets.ensure(namespace, getPodRegistries(podWith([`${real}/app`]), resolveRegistry));
      const kubeconfig = await createAccountWithRules(apiServer(), [secretsRule]);
      await assert.rejects(
        runOnce(['remove-host', '--namespace', namespace, real], kubeconfig),
        /cannot list pods of namespace .+ \(forbidden/,
      );
      assert.deepEqual(await hostsIn(namespace), [real]);
    });
  });
}
