// Tests that processes that share only the API server store all hosts with few calls, on any API server.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EcrDoubleThread, startEcrDoubleThread } from '../doubles/ecr/ecr-double-thread.ts';
import { type Balancer, startBalancer } from '../doubles/tcp-balancer.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { createCertificateFiles, type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const replicas = 2;

describeOnEachApiServer('replicas', replicasSuite);

/** Several processes behind one webhook: they share nothing but the API server. */
function replicasSuite(apiServer: () => TestApiServer): void {
  let ecr: EcrDoubleThread;
  let programs: RunningProgram[] = [];
  let balancer: Balancer;
  let webhook: RegisteredWebhook;
  let directory: string;

  /** Number of the namespace's pods that each process has handled. */
  const countHandledPods = (namespace: string) =>
    programs.map(
      (program) => program.log().filter((line) => line['namespace'] === namespace && line['pod']).length,
    );
  const countTokenCalls = async (regions: readonly string[]) =>
    (await ecr.callsOf('GetAuthorizationToken')).filter((call) => regions.includes(call.region)).length;

  /** Each process loads the AWS SDK with its first token, which alone can take longer than a pod waits for ECR. */
  const waitUntilAllHaveFetched = () =>
    eventually('each process has fetched a token', async () => {
      const namespace = await webhook.createNamespace();
      const pod = podWith(['123456789012.dkr.ecr.eu-north-1.amazonaws.com/app']);
      await Promise.all(Array.from({ length: 8 }, () => createPod(apiServer(), namespace, pod)));
      return programs.every((program) => program.log().some(({ msg }) => msg === 'fetched ECR token'));
    });

  describe('two replicas behind one webhook', () => {
    before(async () => {
      ecr = await startEcrDoubleThread();
      directory = await mkdtemp(join(tmpdir(), 'replicas-'));
      const certificates = await createCertificateFiles(directory);
      const kubeconfigPath = await installServiceAccount(apiServer());
      programs = await Promise.all(
        Array.from({ length: replicas }, () =>
          startProgram({ kubeconfigPath, environment: ecr.environment, certificates }),
        ),
      );
      balancer = await startBalancer(programs.map(({ webhookUrl }) => webhookUrl));
      webhook = await registerWebhook(apiServer(), {
        webhookUrl: balancer.url,
        caPem: certificates.caPem,
        timeoutSeconds: 30,
      });
      await waitUntilAllHaveFetched();
    });
    after(async () => {
      await webhook?.remove();
      await Promise.all(programs.map((program) => program.stop()));
      await balancer?.stop();
      await ecr.stop();
      await rm(directory, { recursive: true, force: true });
    });

    it('inject 200 simultaneous pods: one Secret, and at most one token call per process', async () => {
      const namespace = await webhook.createNamespace();
      const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1';
      const pods = await Promise.all(
        Array.from({ length: 200 }, () => createPod(apiServer(), namespace, podWith([image]))),
      );
      const refused = pods.filter(({ status }) => status !== 201).map(({ body }) => body);
      assert.deepEqual(refused, []);
      assert.ok(pods.every(({ pullSecrets }) => pullSecrets.join() === 'ecr-pull-secrets'));
      assert.deepEqual(
        pods.flatMap(({ warnings }) => warnings),
        [],
      );
      const secret = await readPullSecret(apiServer(), namespace);
      assert.equal(Object.keys(secret?.auths ?? {}).length, 1);
      const calls = await countTokenCalls(['eu-central-1']);
      assert.ok(calls <= replicas, `${calls} calls`);
      await eventually('both have handled requests, and all pods are logged', () => {
        const counts = countHandledPods(namespace);
        return counts.every((count) => count > 0) && counts.reduce((sum, count) => sum + count) === 200;
      });
    });

    it('cause at most two calls each for two namespaces × three accounts × two regions', async () => {
      const regions = ['eu-west-1', 'us-west-2'];
      const accounts = ['111111111111', '222222222222', '333333333333'];
      const namespaces = [await webhook.createNamespace(), await webhook.createNamespace()];
      const hosts = accounts.flatMap((account) =>
        regions.map((region) => `${account}.dkr.ecr.${region}.amazonaws.com`),
      );
      const pods = namespaces.flatMap((namespace) =>
        hosts.map((host) => ({ namespace, pod: podWith([`${host}/app`]) })),
      );
      const created = await Promise.all(
        pods.map(({ namespace, pod }) => createPod(apiServer(), namespace, pod)),
      );
      assert.deepEqual(
        created.flatMap(({ warnings }) => warnings),
        [],
      );
      for (const namespace of namespaces) {
        const secret = await readPullSecret(apiServer(), namespace);
        assert.deepEqual(
          Object.keys(secret?.auths ?? {}),
          hosts.toSorted(),
          'the union of the hosts that both ensured',
        );
      }
      const calls = await countTokenCalls(regions);
      assert.ok(calls <= 2 * replicas, `${calls} calls`);
    });

    it('store all hosts, whichever replica ensured them, in 20 namespaces at once', async () => {
      const regions = ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3', 'ap-southeast-1'];
      const namespaces = await Promise.all(Array.from({ length: 20 }, () => webhook.createNamespace()));
      const created = await Promise.all(
        namespaces.flatMap((namespace) =>
          regions.map((region) =>
            createPod(apiServer(), namespace, podWith([`123456789012.dkr.ecr.${region}.amazonaws.com/app`])),
          ),
        ),
      );
      assert.deepEqual(
        created.flatMap(({ warnings }) => warnings),
        [],
      );
      for (const namespace of namespaces) {
        const secret = await readPullSecret(apiServer(), namespace);
        assert.equal(Object.keys(secret?.auths ?? {}).length, regions.length);
        assert.ok(Object.values(secret?.hosts ?? {}).every((lifetime) => lifetime !== null));
      }
    });

    it('continue when one of them is killed', async () => {
      const [victim] = programs.splice(0, 1);
      victim?.signal('SIGKILL');
      await victim?.exited;
      const namespace = await webhook.createNamespace();
      await eventually('a pod is injected', async () => {
        const pod = podWith(['123456789012.dkr.ecr.eu-central-1.amazonaws.com/app']);
        return (await createPod(apiServer(), namespace, pod)).pullSecrets.length > 0;
      });
    });
  });
}
