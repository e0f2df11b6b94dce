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

/** A Deployment of three with a Service before it, as near to the chart's as it can be without nodes. */
describeOnCluster('three replicas with one certificate, under 50 pods a second', (cluster) => {
  const random = new Random(seed);
  const started: RunningProgram[] = [];
  let directory: string;
  let ecr: EcrDouble;
  let service: ServiceProxy;
  let fixture: CertificatesFixture;
  let running: RunningProgram[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'rolling-'));
    await bundleInto(join(directory, 'main.mjs'));
    ecr = await startEcrDouble();
    service = await startServiceProxy(() => random.next());
    fixture = await createCertificatesFixture(cluster(), { url: service.url, webhooks: 1 });
    running = await Promise.all(Array.from({ length: replicas }, startReplica));
  });
  after(async () => {
    await cluster().request('DELETE', `${webhooks}/${fixture?.place.webhookConfiguration}`);
    await Promise.all(started.map((program) => program.stop()));
    await service?.stop();
    await ecr?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const startReplica = async () => {
    const { namespace, webhookConfiguration } = fixture.place;
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

  /** Has the webhook called for new namespaces, and for no others. */
  const namespacesUnder = async (failurePolicy: 'Fail' | 'Ignore') => {
    const label = randomBytes(4).toString('hex');
    const path = `${webhooks}/${fixture.place.webhookConfiguration}`;
    await eventually('the webhook is called for other namespaces', async () => {
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
    // not before the API server knows the selector does it know the policy
    await eventually('the API server calls the webhook', async () => {
      const pod = podWith([`${hostIn('eu-central-1')}/probe`]);
      return (
        (await createPod(cluster(), names[0] ?? '', pod, { dryRun: true })).pullSecrets.length > 0 &&
        running.every((program) => service.hasEndpoint(program))
      );
    });
    return names;
  };

  /** Every other pod goes where one has been; the others need a Secret or one more host in it, or once did. */
  const orders = ([first = '', ...others]: readonly string[], othersFrom = () => regions) => {
    let count = 0;
    return (): PodRequest =>
      count++ % 2 === 0
        ? { namespace: first, host: hostIn('eu-central-1') }
        : { namespace: random.pick(others), host: hostIn(random.pick(othersFrom())) };
  };

  const reviewsOf = (program: RunningProgram) =>
    program.log().filter(({ msg, outcome }) => msg === 'handled admission request' && outcome !== 'dry-run')
      .length;

  /** How often calls of the webhook failed, so far, as the API server counts. */
  const failedCalls = async () => {
    const { body } = await cluster().request('GET', '/metrics');
    const failing = /^apiserver_admission_webhook_(fail_open|rejection)_count\{.*\bname="w0\.ecr-.* (\d+)$/gm;
    return [...String(body).matchAll(failing)].reduce((sum, [, , count]) => sum + Number(count), 0);
  };

  const tell = (t: TestContext, sent: readonly SentPod[]) => {
    const took = sent.map(({ sentAt, answeredAt }) => answeredAt - sentAt).sort((a, b) => a - b);
    const at = (share: number) => Math.round(took[Math.floor(share * (took.length - 1))] ?? 0);
    t.diagnostic(
      `${sent.length} pods, ${getSendRate(sent).toFixed(1)} a second, ` +
        `took ${at(0.5)} ms (median), ${at(0.99)} ms (99 %), ${at(1)} ms (most); seed ${seed}`,
    );
  };

  it('are replaced one by one: no call fails, and no pod is without its reference', async (t) => {
    const namespaces = await namespacesUnder('Fail');
    const failedBefore = await failedCalls();
    const published = await fixture.published();
    const old = running;
    const ending: Promise<{ code: number | null; inService: boolean }>[] = [];
    const load = startPodLoad(cluster(), podsPerSecond, orders(namespaces));
    for (const program of old) {
      const replacement = await startReplica();
      running = [...running.filter((one) => one !== program), replacement];
      program.signal('SIGTERM');
      // looked at when it ends, not later
      ending.push(program.exited.then((code) => ({ code, inService: service.hasEndpoint(program) })));
    }
    const ends = await Promise.all(ending);
    const reached = load.sent.length + podsPerSecond;
    await eventually('one more second of pods', () => load.sent.length >= reached);
    const sent = await load.end();
    tell(t, sent);
    t.diagnostic(`answered by the old ${old.map(reviewsOf)}, by the new ${running.map(reviewsOf)}`);

    // they say that they are not ready while they still take calls
    assert.deepEqual(ends, Array(replicas).fill({ code: 0, inService: false }));
    assert.deepEqual(
      sent.filter(({ status }) => status !== 201).map(({ body }) => body),
      [],
    );
    assert.equal(sent.filter(({ pullSecrets }) => pullSecrets.join() !== 'ecr-pull-secrets').length, 0);
    // a token that is late on a busy machine is told and comes after, see below; nothing else may be told
    const warnings = sent.flatMap((one) => one.warnings);
    t.diagnostic(`${warnings.length} with a token that came later`);
    assert.deepEqual(
      warnings.filter((text) => !/: (ECR has not answered yet|timed out; still in progress)$/.test(text)),
      [],
    );
    assert.equal((await failedCalls()) - failedBefore, 0);
    await eventually('the log of the one or the other has every pod', () => {
      return started.reduce((sum, program) => sum + reviewsOf(program), 0) === sent.length;
    });
    assert.ok(old.every((program) => reviewsOf(program) > 0));
    assert.ok(running.some((program) => reviewsOf(program) > 0));
    assert.deepEqual(await fixture.published(), published, 'the CA is the one of the beginning');
    for (const namespace of new Set(sent.map((one) => one.namespace))) {
      const hosts = new Set(sent.filter((one) => one.namespace === namespace).map(({ host }) => host));
      await eventually('the Secret has what the old and the new ones were asked for', async () => {
        const { auths = {} } = (await readPullSecret(cluster(), namespace)) ?? {};
        assert.deepEqual(new Set(Object.keys(auths)), hosts);
        return true;
      });
    }
  });

  it('lose one by SIGKILL: only pods of that moment are without their reference, under Ignore', async (t) => {
    const namespaces = await namespacesUnder('Ignore');
    const failedBefore = await failedCalls();
    let othersFrom = regions;
    const load = startPodLoad(
      cluster(),
      podsPerSecond,
      orders(namespaces, () => othersFrom),
    );
    await eventually('two seconds of pods', () => load.sent.length >= 2 * podsPerSecond);
    const gate = ecr.hold({ region: 'ca-central-1' });
    othersFrom = ['ca-central-1'];
    await eventually('each replica has a call in flight', () => gate.waiting >= replicas);
    const victim = random.pick(running);
    const killedAt = performance.now();
    victim.signal('SIGKILL');
    gate.open();
    await eventually('the Service has noticed', () => !service.hasEndpoint(victim));
    const noticedAt = performance.now();
    running = [...running.filter((one) => one !== victim), await startReplica()];
    const reached = load.sent.length + podsPerSecond;
    await eventually('one more second of pods', () => load.sent.length >= reached);
    const sent = await load.end();
    tell(t, sent);

    assert.deepEqual(
      sent.filter(({ status }) => status !== 201),
      [],
    );
    const without = sent.filter(({ pullSecrets }) => pullSecrets.length === 0);
    const inFlight = sent.filter(({ sentAt, answeredAt }) => sentAt <= killedAt && answeredAt >= killedAt);
    const during = sent.filter(({ sentAt }) => sentAt > killedAt && sentAt <= noticedAt);
    t.diagnostic(
      `${without.length} without: ${inFlight.length} in flight, ${during.length} in the ` +
        `${Math.round(noticedAt - killedAt)} ms until the Service noticed`,
    );
    assert.ok(without.length > 0, 'the victim had one in flight');
    for (const one of without) assert.ok(inFlight.includes(one) || during.includes(one));
    // a third of the new connections is refused until then
    assert.ok(without.length <= inFlight.length + Math.ceil(during.length / replicas));
    assert.equal((await failedCalls()) - failedBefore, without.length);
    assert.ok(sent.some(({ sentAt }) => sentAt > noticedAt));
  });
});
