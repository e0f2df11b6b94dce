// Tests how pods and their Secret are changed on admission, for any API server; used by admission.suite.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { eventually } from '../support/eventually.ts';
import { podWith, updatePod, windowsPod } from '../support/pods.ts';
import { assertNoSecretLeaked, hostIn, setUpProgram } from '../support/program-fixture.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const decoded = (auth: string | undefined) => atob(auth ?? '').replace(/^AWS:/, '');

/**
 * The main path on an API server: the tests create pods as users do, the API server calls the program, and the program has only
 * the permissions of its ServiceAccount.
 * @param isReferenceThere whether a policy adds the reference before the API server calls the program
 */
export function injectionSuite(
  apiServer: () => TestApiServer,
  isReferenceThere: () => boolean = () => false,
): void {
  describe('injection', () => {
    const fixture = setUpProgram(apiServer);

    it('adds the reference to a pod with an ECR image, and stores a valid token in the Secret of its namespace', async () => {
      const namespace = await fixture().createNamespace();
      const host = hostIn('eu-central-1');
      const { status, pullSecrets, warnings } = await fixture().createPod(
        namespace,
        podWith([`${host}/app:1`]),
      );
      assert.deepEqual([status, pullSecrets, warnings], [201, ['ecr-pull-secrets'], []]);
      const secret = await fixture().pullSecret(namespace);
      assert.equal(secret?.type, 'kubernetes.io/dockerconfigjson');
      assert.equal(secret.labels['app.kubernetes.io/managed-by'], 'ecr-pull-secrets');
      assert.deepEqual(Object.keys(secret.auths), [host]);
      assert.deepEqual(
        Object.keys(secret.auths[host] ?? {}),
        ['auth'],
        'only auth, which the kubelet decodes',
      );
      assert.ok(fixture().ecr.isUnexpired(decoded(secret.auths[host]?.auth)));
      const end = Date.parse(secret.hosts[host]?.expiresAt ?? '');
      const [issued] = fixture().ecr.issued.filter(({ region }) => region === 'eu-central-1');
      assert.ok(issued !== undefined && end <= issued.expiresAt && end > issued.expiresAt - 1000);
    });

    it('causes no AWS call and no write for the next pod', async () => {
      const namespace = await fixture().createNamespace();
      const pod = () => podWith([`${hostIn('eu-west-1')}/app:1`]);
      await fixture().createPod(namespace, pod());
      const before = await fixture().pullSecret(namespace);
      const { pullSecrets } = await fixture().createPod(namespace, pod());
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.equal(fixture().callsIn('eu-west-1'), 1);
      assert.deepEqual(await fixture().pullSecret(namespace), before);
    });

    it('keeps the pull secrets that a pod has, in their order, and does not add a second reference', async () => {
      const namespace = await fixture().createNamespace();
      const image = `${hostIn('eu-west-1')}/app:1`;
      const others = [{ name: 'one' }, { name: 'two' }];
      const appended = await fixture().createPod(namespace, podWith([image], { imagePullSecrets: others }));
      assert.deepEqual(appended.pullSecrets, ['one', 'two', 'ecr-pull-secrets']);
      const own = [{ name: 'ecr-pull-secrets' }, { name: 'one' }];
      const unchanged = await fixture().createPod(namespace, podWith([image], { imagePullSecrets: own }));
      assert.deepEqual(unchanged.pullSecrets, ['ecr-pull-secrets', 'one']);
    });

    it('handles pods for Windows nodes like others', async () => {
      const namespace = await fixture().createNamespace();
      const { status, pullSecrets, warnings } = await fixture().createPod(
        namespace,
        windowsPod(`${hostIn('eu-west-1')}/iis:ltsc2022`),
      );
      assert.deepEqual([status, pullSecrets, warnings], [201, ['ecr-pull-secrets'], []]);
    });

    it('finds ECR images of init containers', async () => {
      const namespace = await fixture().createNamespace();
      const host = hostIn('eu-west-1');
      const initContainers = [{ name: 'init', image: `${host}/init:1` }];
      const { pullSecrets } = await fixture().createPod(namespace, podWith(['busybox'], { initContainers }));
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.deepEqual(Object.keys((await fixture().pullSecret(namespace))?.auths ?? {}), [host]);
    });

    it('finds ECR images of image volumes', async (t) => {
      const minor = Number(/^v?1\.(\d+)/.exec(fixture().apiServer.version)?.[1]);
      if (minor < 35) {
        t.skip('image volumes are on by default from Kubernetes 1.35 on');
        return;
      }
      const namespace = await fixture().createNamespace();
      const host = hostIn('eu-west-1');
      const volumes = [{ name: 'model', image: { reference: `${host}/model:1` } }];
      const { status, pullSecrets } = await fixture().createPod(namespace, podWith(['busybox'], { volumes }));
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.deepEqual(Object.keys((await fixture().pullSecret(namespace))?.auths ?? {}), [host]);
    });

    it('skips other pods: no ECR image, opted out', async () => {
      const namespace = await fixture().createNamespace();
      const optedOut = { 'ecr-pull-secrets.io/inject': 'false' };
      for (const pod of [podWith(['busybox']), podWith([`${hostIn('eu-west-1')}/app`], {}, optedOut)]) {
        const { status, pullSecrets } = await fixture().createPod(namespace, pod);
        assert.deepEqual([status, pullSecrets], [201, []]);
      }
      assert.equal(await fixture().pullSecret(namespace), undefined);
    });

    it('on a dry run adds the patch, but writes nothing and calls nothing', async () => {
      const namespace = await fixture().createNamespace();
      const { status, pullSecrets } = await fixture().createPod(
        namespace,
        podWith([`${hostIn('eu-west-2')}/app`]),
        {
          dryRun: true,
        },
      );
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.equal(await fixture().pullSecret(namespace), undefined);
      assert.equal(fixture().callsIn('eu-west-2'), 0);
    });

    it('adds the hosts of an ephemeral container and of a changed image, if the pod has the reference', async () => {
      const namespace = await fixture().createNamespace();
      const pod = podWith([`${hostIn('eu-west-3')}/app:1`]);
      await fixture().createPod(namespace, pod);
      const { uid } = (await fixture().pullSecret(namespace)) ?? {};
      const debug = { name: 'debug', image: `${hostIn('eu-south-1')}/debug:1`, targetContainerName: 'c0' };
      const debugged = await updatePod(
        fixture().apiServer,
        namespace,
        pod.metadata.name,
        ({ spec, ...rest }) => ({ ...rest, spec: { ...(spec as object), ephemeralContainers: [debug] } }),
        '/ephemeralcontainers',
      );
      assert.equal(debugged.status, 200);
      const changed = await updatePod(
        fixture().apiServer,
        namespace,
        pod.metadata.name,
        ({ spec, ...rest }) => {
          const { containers } = spec as { containers: object[] };
          const image = `${hostIn('eu-north-1')}/app:2`;
          return { ...rest, spec: { ...(spec as object), containers: [{ ...containers[0], image }] } };
        },
      );
      assert.equal(changed.status, 200);
      const secret = await fixture().pullSecret(namespace);
      assert.deepEqual(
        Object.keys(secret?.auths ?? {}),
        ['eu-north-1', 'eu-south-1', 'eu-west-3'].map(hostIn),
      );
      assert.equal(secret?.uid, uid);
    });

    it('warns of a new ECR image in a pod that has no reference, and of no other update', async () => {
      const namespace = await fixture().createNamespace();
      const pod = podWith(['busybox']);
      await fixture().createPod(namespace, pod);
      const { apiServer } = fixture();
      const debug = { name: 'debug', image: `${hostIn('eu-central-1')}/debug:1` };
      const debugged = await updatePod(
        apiServer,
        namespace,
        pod.metadata.name,
        ({ spec, ...rest }) => ({ ...rest, spec: { ...Object(spec), ephemeralContainers: [debug] } }),
        '/ephemeralcontainers',
      );
      assert.equal(debugged.status, 200);
      assert.match(
        debugged.warnings.join(),
        /^the new ECR image may fail to pull: .* kubectl debug --copy-to$/,
      );

      // The old object of an update may come from the API server's watch cache, and must have the container.
      const cached = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}?resourceVersion=0`;
      await eventually('the watch cache has the container', async () => {
        return JSON.stringify((await apiServer.request('GET', cached)).body).includes(debug.image);
      });
      const labelled = await updatePod(apiServer, namespace, pod.metadata.name, ({ metadata, ...rest }) => ({
        ...rest,
        metadata: { ...Object(metadata), labels: { a: 'b' } },
      }));
      assert.deepEqual([labelled.status, labelled.warnings], [200, []]);

      const changed = await updatePod(apiServer, namespace, pod.metadata.name, ({ spec, ...rest }) => {
        const { containers } = Object(spec);
        const image = `${hostIn('eu-central-1')}/app:1`;
        return { ...rest, spec: { ...Object(spec), containers: [{ ...containers[0], image }] } };
      });
      assert.equal(changed.status, 200);
      assert.match(changed.warnings.join(), /^the new ECR image may fail to pull: .* recreate the pod$/);
      assert.equal(
        await fixture().pullSecret(namespace),
        undefined,
        'no Secret is created that nothing refers to',
      );

      // as kubectl debug --copy-to does
      const copy = podWith(['busybox', debug.image]);
      const copied = await fixture().createPod(namespace, copy);
      assert.deepEqual([copied.pullSecrets, copied.warnings], [['ecr-pull-secrets'], []]);
    });

    it('reports its decisions: one log line for each injected pod, and metrics by outcome and reason', async () => {
      const namespace = await fixture().createNamespace();
      const pod = podWith([`${hostIn('eu-west-1')}/app`]);
      await fixture().createPod(namespace, pod);
      const line = await eventually('the line is logged', () =>
        fixture()
          .program.log()
          .find((entry) => entry['namespace'] === namespace && entry['pod'] === pod.metadata.name),
      );
      const [outcome, reason] = isReferenceThere()
        ? ['unchanged', 'already-referenced']
        : ['injected', 'ecr-image'];
      assert.deepEqual([line['level'], line['outcome'], line['reason']], ['info', outcome, reason]);
      const metrics = await fixture().program.metrics();
      assert.match(
        metrics,
        new RegExp(`_admission_requests_total\\{outcome="${outcome}",reason="${reason}"\\} [1-9]`),
      );
      assert.match(metrics, /ecr_pull_secrets_ecr_requests_total\{region="eu-west-1",outcome="success"\} 1/);
      assert.match(metrics, /ecr_pull_secrets_secret_writes_total\{outcome="created"\} [1-9]/);
      assert.match(
        metrics,
        /ecr_pull_secrets_token_expiration_timestamp_seconds\{region="eu-west-1"\} 1\d{9}/,
      );
      assert.match(metrics, /ecr_pull_secrets_in_sync 1/);
      assert.match(metrics, /ecr_pull_secrets_admission_request_duration_seconds_count [1-9]/);
    });

    it('shows no token and no key in any output', () => assertNoSecretLeaked(fixture()));

    it('has no permission to read, list or write any other Secret', async () => {
      const namespace = await fixture().createNamespace();
      const { kubeconfigPath } = fixture();
      const options = { kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' };
      const secrets = createSecretApi(loadKubeConfig(options));
      const other = { metadata: { namespace, name: 'other' }, type: 'Opaque', data: {} };
      const refused = { name: 'KubeError', code: 'forbidden' };
      await assert.rejects(secrets.read(namespace, 'other'), refused);
      await assert.rejects(secrets.apply(other, { fieldManager: 'test', force: true }), refused);
      const { status } = await fixture().apiServer.request(
        'GET',
        `/api/v1/namespaces/${namespace}/secrets/other`,
      );
      assert.equal(status, 404);
    });

    it('never has two token calls of one identity and region in flight', () => {
      assert.equal(fixture().ecr.peak, 1);
    });
  });
}
