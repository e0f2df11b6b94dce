import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadKubeConfig } from '../../src/kube/config.ts';
import { secretApi } from '../../src/kube/secrets.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/double.ts';
import { eventually } from '../support/eventually.ts';
import type { Ground } from '../support/ground.ts';
import { installAccount, type Registered, registerWebhook } from '../support/installation.ts';
import { createPod, podWith, updatePod } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/process.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';

const hostIn = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;
const decoded = (auth: string | undefined) => atob(auth ?? '').replace(/^AWS:/, '');

/**
 * The main job on an API server: pods are created as users create them, the API server calls the program, and the
 * program runs with the rights of its ServiceAccount only. Each test has a region and a namespace of its own, because
 * the program remembers tokens by region.
 */
export function admissionSuite(ground: () => Ground): void {
  let ecr: EcrDouble;
  let program: RunningProgram;
  let webhook: Registered;
  let kubeconfigPath: string;
  const createIn = (namespace: string, pod: Parameters<typeof createPod>[2], options = {}) =>
    createPod(ground(), namespace, pod, options);
  const secretIn = (namespace: string) => readPullSecret(ground(), namespace);
  const callsIn = (region: string) => ecr.calls.filter((call) => call.region === region).length;

  describe('admission', () => {
    before(async () => {
      ecr = await startEcrDouble();
      kubeconfigPath = await installAccount(ground());
      program = await startProgram({ kubeconfigPath, environment: ecr.env() });
      webhook = await registerWebhook(ground(), program);
    });
    after(async () => {
      await webhook?.remove();
      await program?.stop();
      await ecr.stop();
    });

    it('gives a pod with an ECR image the reference, and its namespace the Secret with a living token', async () => {
      const namespace = await webhook.createNamespace();
      const host = hostIn('eu-central-1');
      const { status, pullSecrets, warnings } = await createIn(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual([status, pullSecrets, warnings], [201, ['ecr-pull-secrets'], []]);
      const secret = await secretIn(namespace);
      assert.equal(secret?.type, 'kubernetes.io/dockerconfigjson');
      assert.equal(secret.labels['app.kubernetes.io/managed-by'], 'ecr-pull-secrets');
      assert.deepEqual(Object.keys(secret.auths), [host]);
      assert.deepEqual(Object.keys(secret.auths[host] ?? {}), ['auth'], 'auth alone: the kubelet decodes it');
      assert.ok(ecr.isLiving(decoded(secret.auths[host]?.auth)));
      const end = Date.parse(secret.hosts[host]?.expiresAt ?? '');
      const [issued] = ecr.issued.filter(({ region }) => region === 'eu-central-1');
      assert.ok(issued !== undefined && end <= issued.expiresAt && end > issued.expiresAt - 1000);
    });

    it('spends no call of AWS and no write on the next pod', async () => {
      const namespace = await webhook.createNamespace();
      const pod = () => podWith([`${hostIn('eu-west-1')}/app:1`]);
      await createIn(namespace, pod());
      const before = await secretIn(namespace);
      const { pullSecrets } = await createIn(namespace, pod());
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.equal(callsIn('eu-west-1'), 1);
      assert.deepEqual(await secretIn(namespace), before);
    });

    it('keeps the pull secrets that a pod has, in their order, and does not add a second reference', async () => {
      const namespace = await webhook.createNamespace();
      const image = `${hostIn('eu-west-1')}/app:1`;
      const others = [{ name: 'one' }, { name: 'two' }];
      const appended = await createIn(namespace, podWith([image], { imagePullSecrets: others }));
      assert.deepEqual(appended.pullSecrets, ['one', 'two', 'ecr-pull-secrets']);
      const own = [{ name: 'ecr-pull-secrets' }, { name: 'one' }];
      const there = await createIn(namespace, podWith([image], { imagePullSecrets: own }));
      assert.deepEqual(there.pullSecrets, ['ecr-pull-secrets', 'one']);
    });

    it('finds ECR images of init containers', async () => {
      const namespace = await webhook.createNamespace();
      const host = hostIn('eu-west-1');
      const initContainers = [{ name: 'init', image: `${host}/init:1` }];
      const { pullSecrets } = await createIn(namespace, podWith(['busybox'], { initContainers }));
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.deepEqual(Object.keys((await secretIn(namespace))?.auths ?? {}), [host]);
    });

    it('leaves other pods alone: no ECR image, opted out', async () => {
      const namespace = await webhook.createNamespace();
      const optedOut = { 'ecr-pull-secrets.io/inject': 'false' };
      for (const pod of [podWith(['busybox']), podWith([`${hostIn('eu-west-1')}/app`], {}, optedOut)]) {
        const { status, pullSecrets } = await createIn(namespace, pod);
        assert.deepEqual([status, pullSecrets], [201, []]);
      }
      assert.equal(await secretIn(namespace), undefined);
    });

    it('on a dry run patches, writes nothing and calls nobody', async () => {
      const namespace = await webhook.createNamespace();
      const { status, pullSecrets } = await createIn(namespace, podWith([`${hostIn('eu-west-2')}/app`]), {
        dryRun: true,
      });
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.equal(await secretIn(namespace), undefined);
      assert.equal(callsIn('eu-west-2'), 0);
    });

    it('adds the host of an ephemeral container, and of a changed image, behind the reference that is there', async () => {
      const namespace = await webhook.createNamespace();
      const pod = podWith([`${hostIn('eu-west-3')}/app:1`]);
      await createIn(namespace, pod);
      const { uid } = (await secretIn(namespace)) ?? {};
      const debug = { name: 'debug', image: `${hostIn('eu-south-1')}/debug:1`, targetContainerName: 'c0' };
      const debugged = await updatePod(
        ground(),
        namespace,
        pod.metadata.name,
        ({ spec, ...rest }) => ({ ...rest, spec: { ...(spec as object), ephemeralContainers: [debug] } }),
        '/ephemeralcontainers',
      );
      assert.equal(debugged.status, 200);
      const changed = await updatePod(ground(), namespace, pod.metadata.name, ({ spec, ...rest }) => {
        const { containers } = spec as { containers: object[] };
        const image = `${hostIn('eu-north-1')}/app:2`;
        return { ...rest, spec: { ...(spec as object), containers: [{ ...containers[0], image }] } };
      });
      assert.equal(changed.status, 200);
      const secret = await secretIn(namespace);
      assert.deepEqual(
        Object.keys(secret?.auths ?? {}),
        ['eu-north-1', 'eu-south-1', 'eu-west-3'].map(hostIn),
      );
      assert.equal(secret?.uid, uid);
    });

    it('admits a pod while ECR refuses, warns of host and cause, and notes the host; the next pod asks nobody', async () => {
      const namespace = await webhook.createNamespace();
      const host = hostIn('ap-south-1');
      ecr.fail({ error: 'AccessDeniedException' }, { region: 'ap-south-1' });
      const first = await createIn(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual([first.status, first.pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.equal(first.warnings.length, 1);
      assert.match(first.warnings[0] ?? '', new RegExp(`^no pull token yet for ${host}: AccessDenied`));
      assert.ok((first.warnings[0] ?? '').length <= 120);
      const waiting = await secretIn(namespace);
      assert.deepEqual(waiting?.hosts, { [host]: null });
      assert.deepEqual(waiting?.auths, {}, 'a Secret that a kubelet can read, though it holds nothing yet');

      const second = await createIn(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual(second.pullSecrets, ['ecr-pull-secrets']);
      assert.equal(callsIn('ap-south-1'), 1, 'the next pod does not ask again at once');
      assert.deepEqual(await secretIn(namespace), waiting, 'and costs no write');
      ecr.heal();
    });

    it('answers in time while ECR hangs, and writes the token when it comes', async () => {
      const namespace = await webhook.createNamespace();
      const host = hostIn('ap-east-1');
      const gate = ecr.hold({ region: 'ap-east-1' });
      const { status, pullSecrets, warnings } = await createIn(namespace, podWith([`${host}/app:1`]));
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.deepEqual(warnings, [`no pull token yet for ${host}: ECR has not answered yet`]);
      const waiting = await secretIn(namespace);
      assert.deepEqual(waiting?.hosts, { [host]: null });
      gate.open();
      const filled = await eventually('the token is there', async () => {
        const secret = await secretIn(namespace);
        return secret?.auths[host] === undefined ? undefined : secret;
      });
      assert.equal(filled.uid, waiting?.uid);
    });

    it('gives the tokens that can be had while another region is down', async () => {
      const namespace = await webhook.createNamespace();
      const [up, down] = [hostIn('sa-east-1'), hostIn('af-south-1')];
      ecr.fail({ error: 'ServerException', status: 500 }, { region: 'af-south-1' });
      const { pullSecrets, warnings } = await createIn(namespace, podWith([`${down}/a`, `${up}/b`]));
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      assert.match(warnings.join(), new RegExp(`for ${down}: `));
      const secret = await secretIn(namespace);
      assert.deepEqual(Object.keys(secret?.auths ?? {}), [up]);
      assert.equal(secret?.hosts[down], null);
      ecr.heal();
    });

    for (const [what, secret] of [
      [
        'another type',
        { type: 'Opaque', metadata: { labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' } } },
      ],
      [
        'no label of ours',
        { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': btoa('{"auths":{}}') } },
      ],
    ] as const) {
      it(`reports and leaves a Secret of our name with ${what}`, async () => {
        const namespace = await webhook.createNamespace();
        const metadata = { name: 'ecr-pull-secrets', ...('metadata' in secret ? secret.metadata : {}) };
        const made = await ground().request('POST', secretPath(namespace).replace(/\/[^/]+$/, ''), {
          apiVersion: 'v1',
          kind: 'Secret',
          ...secret,
          metadata,
        });
        assert.equal(made.status, 201);
        const before = await ground().request('GET', secretPath(namespace));
        const { status, warnings } = await createIn(namespace, podWith([`${hostIn('eu-west-1')}/app`]));
        assert.equal(status, 201);
        assert.deepEqual(warnings, [
          `no pull token yet for ${hostIn('eu-west-1')}: the Secret of our name is not ours`,
        ]);
        assert.deepEqual((await ground().request('GET', secretPath(namespace))).body, before.body);
      });
    }

    it('mends what a person broke in our Secret, and loses no host', async () => {
      const namespace = await webhook.createNamespace();
      const [old, added] = [hostIn('eu-west-1'), hostIn('eu-central-2')];
      await createIn(namespace, podWith([`${old}/app`]));
      const { body } = await ground().request('GET', secretPath(namespace));
      const broken = structuredClone(body) as { data: Record<string, string> };
      broken.data['.dockerconfigjson'] = btoa('{"auths":{"broken.example":{"auth":"?"}}}');
      assert.equal((await ground().request('PUT', secretPath(namespace), broken)).status, 200);
      await createIn(namespace, podWith([`${added}/app`]));
      const secret = await secretIn(namespace);
      assert.deepEqual(Object.keys(secret?.auths ?? {}), [added]);
      assert.equal(secret?.hosts[old], null, 'the lost host waits for its token');
      await eventually('the view has caught up, and the next pod fills it', async () => {
        await createIn(namespace, podWith([`${old}/app`]));
        return (await secretIn(namespace))?.auths[old] !== undefined;
      });
    });

    it('makes a Secret anew that somebody deleted', async () => {
      const namespace = await webhook.createNamespace();
      const pod = () => podWith([`${hostIn('eu-west-1')}/app`]);
      await createIn(namespace, pod());
      await ground().request('DELETE', secretPath(namespace));
      await eventually('the program has seen it', async () => {
        await createIn(namespace, pod());
        return (await secretIn(namespace)) !== undefined;
      });
    });

    it('tells how it decided: one line for each pod injected, and metrics by outcome and reason', async () => {
      const namespace = await webhook.createNamespace();
      const pod = podWith([`${hostIn('eu-west-1')}/app`]);
      await createIn(namespace, pod);
      const line = await eventually('the line is there', () =>
        program.log().find((entry) => entry['namespace'] === namespace && entry['pod'] === pod.metadata.name),
      );
      assert.deepEqual([line['level'], line['outcome'], line['reason']], ['info', 'injected', 'ecr-image']);
      const metrics = await program.metrics();
      assert.match(metrics, /ecr_pull_secrets_reviews_total\{outcome="injected",reason="ecr-image"\} [1-9]/);
      assert.match(metrics, /ecr_pull_secrets_ecr_calls_total\{region="eu-west-1",outcome="success"\} 1/);
      assert.match(metrics, /ecr_pull_secrets_secret_writes_total\{outcome="created"\} [1-9]/);
      assert.match(metrics, /ecr_pull_secrets_token_end_timestamp_seconds\{region="eu-west-1"\} 1\d{9}/);
      assert.match(metrics, /ecr_pull_secrets_in_sync 1/);
      assert.match(metrics, /ecr_pull_secrets_admission_duration_seconds_count [1-9]/);
    });

    it('has shown no token and no key anywhere in all of this', async () => {
      const shown = program.output() + (await program.metrics());
      for (const secret of ecr.secrets()) {
        assert.ok(!shown.includes(secret));
        assert.ok(!shown.includes(btoa(secret).slice(0, 20)));
      }
    });

    it('had no right to read, list or write any other Secret', async () => {
      const namespace = await webhook.createNamespace();
      const options = { kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' };
      const secrets = secretApi(loadKubeConfig(options));
      const other = { metadata: { namespace, name: 'other' }, type: 'Opaque', data: {} };
      const refused = { name: 'KubeError', code: 'forbidden' };
      await assert.rejects(secrets.read(namespace, 'other'), refused);
      await assert.rejects(secrets.apply(other, { fieldManager: 'test', force: true }), refused);
      const { status } = await ground().request('GET', `/api/v1/namespaces/${namespace}/secrets/other`);
      assert.equal(status, 404);
    });

    it('never had two token calls of one identity and region in flight', () => {
      assert.equal(ecr.peak, 1);
    });
  });

  describe('admission with onFailure: deny', () => {
    let strict: RunningProgram;
    let registered: Registered;
    let ecrOfStrict: EcrDouble;
    before(async () => {
      ecrOfStrict = await startEcrDouble();
      const kubeconfigPath = await installAccount(ground());
      strict = await startProgram({
        kubeconfigPath,
        environment: ecrOfStrict.env(),
        config: { onFailure: 'deny', secrets: { maxHosts: 2 }, exclude: { accounts: ['999999999999'] } },
      });
      registered = await registerWebhook(ground(), strict);
    });
    after(async () => {
      await registered?.remove();
      await strict?.stop();
      await ecrOfStrict.stop();
    });

    it('denies a pod without a token, says why, and admits it when there is one', async () => {
      const namespace = await registered.createNamespace();
      ecrOfStrict.fail({ error: 'ThrottlingException' }, { region: 'us-east-2', times: 3 });
      const pod = podWith([`${hostIn('us-east-2')}/app`]);
      const denied = await createPod(ground(), namespace, pod);
      assert.equal(denied.status, 503);
      assert.match(JSON.stringify(denied.body), /no pull token yet for .*us-east-2.*: throttled/);
      await eventually(
        'it is admitted',
        async () => (await createPod(ground(), namespace, pod)).status === 201,
      );
    });

    it('admits pods that it has nothing to do with', async () => {
      const namespace = await registered.createNamespace();
      const excluded = '999999999999.dkr.ecr.us-east-1.amazonaws.com/app';
      for (const image of ['busybox', excluded]) {
        assert.equal((await createPod(ground(), namespace, podWith([image]))).status, 201);
      }
    });

    it('says so when the Secret has no room for another host', async () => {
      const namespace = await registered.createNamespace();
      const images = ['us-west-1', 'us-west-2'].map((region) => `${hostIn(region)}/app`);
      assert.equal((await createPod(ground(), namespace, podWith(images))).status, 201);
      const third = await createPod(ground(), namespace, podWith([`${hostIn('us-east-1')}/app`]));
      assert.match(
        JSON.stringify(third.body),
        /no pull token yet for .*us-east-1.*: the pull Secret is full/,
      );
      assert.equal(Object.keys((await readPullSecret(ground(), namespace))?.auths ?? {}).length, 2);
    });
  });
}
