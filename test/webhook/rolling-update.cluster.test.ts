// Tests that a rolling update of three replicas fails no call while pods are created at a high rate.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it, type TestContext } from 'node:test';
import {
  type CertificatesFixture,
  createCertificatesFixture,
} from '../certificates/managed-certificates-fixture.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { Random } from '../renewal/simulation/clock-and-random.ts';
import { eventually } from '../support/eventually.ts';
import { getSendRate, type PodRequest, type SentPod, startPodLoad } from '../support/pod-load.ts';
import { createPod, podWith } from '../support/pods.ts';
import { bundleInto, type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { type ServiceProxy, startServiceProxy } from './service-proxy.ts';

const webhooks = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const replicas = 3;
const podsPerSecond = 50;
const otherNamespaces = 40;
const regions = [
  ...['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-north-1', 'eu-south-1', 'us-east-1', 'us-east-2'],
  ...['us-west-1', 'us-west-2', 'ap-south-1', 'ap-east-1', 'sa-east-1'],
];
const seed = Number(process.env['ROLLING_SEED'] ?? randomBytes(4).readUInt32LE());

/** A Deployment of three replicas behind a Service, as similar to the chart's as possible without nodes. */
describeOnCluster('three replicas with one certificate, under 50 pods a second', (cluster) => {
  const random = new Random(seed);
  const started: RunningProgram[] = [];
  let directory: string;
  let ecr: EcrDouble;
  let service: ServiceProxy;
  let fixture: CertificatesFixture;
  let runningPrograms: RunningProgram[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'rolling-'));
    await bundleInto(join(directory, 'main.mjs'));
    ecr = await startEcrDouble();
    service = await startServiceProxy(() => random.next());
    fixture = await createCertificatesFixture(cluster(), { url: service.url, webhooks: 1 });
    runningPrograms = await Promise.all(Array.from({ length: replicas }, startReplica));
  });
  after(async () => {
    await cluster().request('DELETE', `${webhooks}/${fixture?.location.webhookConfiguration}`);
    await Promise.all(started.map((program) => program.stop()));
    await service?.stop();
    await ecr?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const startReplica = async () => {
    const { namespace, webhookConfiguration } = fixture.location;
    const program = await startProgram({
      kubeconfigPath: cluster().kubeconfigPath,
      environment: ecr.env(),
      program: join(directory, 'main.mjs'),
      config: {
        webhook: { shutdownDelay: '2s' },
        certificates: { source: 'managed', namespace, webhookConfiguration, ipAddresses: ['127.0.0.1'] },
      },
    });
    started.push(program);
    service.watch(program);
    return program;
  };

  /** Creates namespaces, and makes the API server call the webhook only for these. */
  const createNamespaces = async (failurePolicy: 'Fail' | 'Ignore') => {
    const label = randomBytes(4).toString('hex');
    const path = `${webhooks}/${fixture.location.webhookConfiguration}`;
    await eventually('the webhook configuration is updated', async () => {
      const { body } = await cluster().request('GET', path);
      const configuration = Object(body);
      Object.assign(configuration.webhooks[0], {
        failurePolicy,
        namespaceSelector: { matchLabels: { rolling: label } },
      });
      return (await cluster().request('PUT', path, configuration)).status === 200;
    });
    const names = Array.from({ length: 1 + otherNamespaces }, (_, index) => `team-${label}-${index}`);
    for (const name of names) {
      const metadata = { name, labels: { rolling: label } };
      assert.equal((await cluster().request('POST', '/api/v1/namespaces', { metadata })).status, 201);
    }
    // Once the API server uses the new selector, it also uses the new policy.
    await eventually('the API server calls the webhook', async () => {
      const pod = podWith([`${hostIn('eu-central-1')}/probe`]);
      return (
        (await createPod(cluster(), names[0] ?? '', pod, { dryRun: true })).pullSecrets.length > 0 &&
        runningPrograms.every((program) => service.hasEndpoint(program))
      );
    });
    return names;
  };

  /** Every other pod is in the first namespace with the same host; the rest have random namespaces and hosts. */
  const generatePods = ([first = '', ...others]: readonly string[], getRegions = () => regions) => {
    let count = 0;
    return (): PodRequest =>
      count++ % 2 === 0
        ? { namespace: first, host: hostIn('eu-central-1') }
        : { namespace: random.pick(others), host: hostIn(random.pick(getRegions())) };
  };

  const countReviews = (program: RunningProgram) =>
    program.log().filter(({ msg, outcome }) => msg === 'handled admission request' && outcome !== 'dry-run')
      .length;

  /** Number of failed webhook calls so far, from the metrics of the API server. */
  const countFailedCalls = async () => {
    const { body } = await cluster().request('GET', '/metrics');
    const failing = /^apiserver_admission_webhook_(fail_open|rejection)_count\{.*\bname="w0\.ecr-.* (\d+)$/gm;
    return [...String(body).matchAll(failing)].reduce((sum, [, , count]) => sum + Number(count), 0);
  };

  const reportDurations = (t: TestContext, sent: readonly SentPod[]) => {
    const durationsMs = sent.map(({ sentAt, completedAt }) => completedAt - sentAt).sort((a, b) => a - b);
    const quantile = (share: number) =>
      Math.round(durationsMs[Math.floor(share * (durationsMs.length - 1))] ?? 0);
    t.diagnostic(
      `${sent.length} pods, ${getSendRate(sent).toFixed(1)} a second, ` +
        `took ${quantile(0.5)} ms (median), ${quantile(0.99)} ms (99 %), ${quantile(1)} ms (max); seed ${seed}`,
    );
  };

  it('are replaced one by one without a failed call or a pod without its reference', async (t) => {
    const namespaces = await createNamespaces('Fail');
    const failedBefore = await countFailedCalls();
    const published = await fixture.published();
    const old = runningPrograms;
    const exits: Promise<{ code: number | null; inService: boolean }>[] = [];
    const load = startPodLoad(cluster(), podsPerSecond, generatePods(namespaces));
    for (const program of old) {
      const replacement = await startReplica();
      runningPrograms = [...runningPrograms.filter((other) => other !== program), replacement];
      program.signal('SIGTERM');
      // checked at the moment it exits
      exits.push(program.exited.then((code) => ({ code, inService: service.hasEndpoint(program) })));
    }
    const results = await Promise.all(exits);
    const reached = load.sent.length + podsPerSecond;
    await eventually('one more second of pods', () => load.sent.length >= reached);
    const sent = await load.stop();
    reportDurations(t, sent);
    t.diagnostic(
      `handled by the old ${old.map(countReviews)}, by the new ${runningPrograms.map(countReviews)}`,
    );

    // They report that they are not ready while they still accept requests.
    assert.deepEqual(results, Array(replicas).fill({ code: 0, inService: false }));
    assert.deepEqual(
      sent.filter(({ status }) => status !== 201).map(({ body }) => body),
      [],
    );
    assert.equal(sent.filter(({ pullSecrets }) => pullSecrets.join() !== 'ecr-pull-secrets').length, 0);
    // On a busy machine a token may be late, which is a warning; it is stored later (see below). No other warning is allowed.
    const warnings = sent.flatMap((pod) => pod.warnings);
    t.diagnostic(`${warnings.length} with a token that was late`);
    assert.deepEqual(
      warnings.filter((text) => !/: (ECR has not responded yet|timed out; still in progress)$/.test(text)),
      [],
    );
    assert.equal((await countFailedCalls()) - failedBefore, 0);
    await eventually('every pod is in the log of one replica', () => {
      return started.reduce((sum, program) => sum + countReviews(program), 0) === sent.length;
    });
    assert.ok(old.every((program) => countReviews(program) > 0));
    assert.ok(runningPrograms.some((program) => countReviews(program) > 0));
    assert.deepEqual(await fixture.published(), published, 'the CA has not changed');
    for (const namespace of new Set(sent.map((pod) => pod.namespace))) {
      const hosts = new Set(sent.filter((pod) => pod.namespace === namespace).map(({ host }) => host));
      await eventually('the Secret has the hosts that old and new replicas ensured', async () => {
        const { auths = {} } = (await readPullSecret(cluster(), namespace)) ?? {};
        assert.deepEqual(new Set(Object.keys(auths)), hosts);
        return true;
      });
    }
  });

  it('lose one by SIGKILL with failurePolicy Ignore: only pods created at that moment lack their reference', async (t) => {
    const namespaces = await createNamespaces('Ignore');
    const failedBefore = await countFailedCalls();
    let otherRegions = regions;
    const load = startPodLoad(
      cluster(),
      podsPerSecond,
      generatePods(namespaces, () => otherRegions),
    );
    await eventually('two seconds of pods', () => load.sent.length >= 2 * podsPerSecond);
    const gate = ecr.hold({ region: 'ca-central-1' });
    otherRegions = ['ca-central-1'];
    await eventually('each replica has a call in flight', () => gate.waiting >= replicas);
    const victim = random.pick(runningPrograms);
    const killedAt = performance.now();
    victim.signal('SIGKILL');
    gate.open();
    await eventually('the Service has noticed', () => !service.hasEndpoint(victim));
    const noticedAt = performance.now();
    runningPrograms = [...runningPrograms.filter((other) => other !== victim), await startReplica()];
    const reached = load.sent.length + podsPerSecond;
    await eventually('one more second of pods', () => load.sent.length >= reached);
    const sent = await load.stop();
    reportDurations(t, sent);

    assert.deepEqual(
      sent.filter(({ status }) => status !== 201),
      [],
    );
    const withoutReference = sent.filter(({ pullSecrets }) => pullSecrets.length === 0);
    const inFlight = sent.filter(({ sentAt, completedAt }) => sentAt <= killedAt && completedAt >= killedAt);
    const during = sent.filter(({ sentAt }) => sentAt > killedAt && sentAt <= noticedAt);
    t.diagnostic(
      `${withoutReference.length} without: ${inFlight.length} in flight, ${during.length} in the ` +
        `${Math.round(noticedAt - killedAt)} ms until the Service noticed`,
    );
    assert.ok(withoutReference.length > 0, 'the killed replica had a request in flight');
    for (const pod of withoutReference) {
      assert.ok(inFlight.includes(pod) || during.includes(pod));
    }
    // Until then, a third of the new connections is refused.
    assert.ok(withoutReference.length <= inFlight.length + Math.ceil(during.length / replicas));
    assert.equal((await countFailedCalls()) - failedBefore, withoutReference.length);
    assert.ok(sent.some(({ sentAt }) => sentAt > noticedAt));
  });
});
