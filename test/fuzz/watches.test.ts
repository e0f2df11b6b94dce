// Random objects and lines in every list and on every watch, and in the answers to single reads.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import fc from 'fast-check';
import { sumOf } from '../../bench/exposition.ts';
import { hostsAnnotation } from '../../src/labels.ts';

import {
  type CertificatesFixture,
  createCertificatesFixture,
} from '../certificates/managed-certificates-fixture.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { buildPullSecret } from '../support/bulk-requests.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { secretPath } from '../support/pull-secret.ts';
import { fuzz } from './fuzz-runner.ts';
import { FuzzTarget, host } from './fuzz-target.ts';
import { InjectingProxy } from './injecting-proxy.ts';
import { hostileText, mutate, placeholder } from './malformed-json.ts';

const kinds = [
  'pull-secrets',
  'namespaces',
  'service-accounts',
  'tls-secret',
  'webhook-configuration',
] as const;
type Kind = (typeof kinds)[number] | 'pull-secret-data';

/** Something that the API server says, and where it says it. */
interface FuzzedMessage {
  readonly kind: Kind;
  /** Items of each list, lines of the open watch, or the answer to a read of the one object. */
  readonly where: 'list' | 'watch' | 'answer';
  readonly texts: readonly string[];
}

/** Of another region than that of the objects that are looked for. */
const hostileHost = '123456789012.dkr.ecr.us-east-2.amazonaws.com';

const annotations = hostileText.map((life) => ({ [hostsAnnotation]: `{"${hostileHost}":${life}}` }));

const managedFields = [
  {
    manager: 'ecr-pull-secrets',
    operation: 'Apply',
    fieldsV1: { 'f:metadata': { 'f:annotations': { [`f:${hostsAnnotation}`]: {} } }, 'f:data': {} },
  },
];

const objects = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constantFrom('PartialObjectMetadata', 'Secret', 'Namespace', 'ServiceAccount'),
  metadata: fc.record({
    name: fc.constantFrom('ecr-pull-secrets', 'hostile', 'default', placeholder),
    namespace: fc.constantFrom('hostile', 'no-such-namespace', placeholder),
    uid: fc.constant('hostile-uid'),
    resourceVersion: fc.constant('1'),
    labels: fc.constant({ 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' }),
    annotations,
    managedFields: fc.constantFrom([], managedFields),
  }),
  imagePullSecrets: fc.constant([{ name: 'other' }]),
  type: fc.constant('kubernetes.io/dockerconfigjson'),
  data: fc.constant({ '.dockerconfigjson': 'e30=', 'tls.crt': 'e30=', 'ca.crt': 'e30=' }),
  webhooks: fc.constant([{ name: 'a', clientConfig: { caBundle: 'e30=' } }]),
});

/** It takes as long to see what one does as what several do. */
const several = (texts: fc.Arbitrary<string>) => fc.array(texts, { minLength: 1, maxLength: 8 });

const kind = fc.constantFrom(...kinds);
const said: fc.Arbitrary<FuzzedMessage> = fc.oneof(
  fc.record({ kind, where: fc.constant('list' as const), texts: several(mutate(objects)) }),
  fc.record({
    kind,
    where: fc.constant('watch' as const),
    texts: several(
      mutate(
        fc.record({
          type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'),
          object: objects,
        }),
      ),
    ),
  }),
  fc.record({
    kind: fc.constantFrom('tls-secret' as const, 'webhook-configuration' as const),
    where: fc.constant('answer' as const),
    texts: fc.tuple(mutate(objects)),
  }),
);

const entries = fc.oneof(
  fc.constantFrom({ auth: 'QVdTOnRva2Vu' }, { username: 'u', password: placeholder }, { auth: placeholder }),
  fc.constantFrom({ Auth: '!!!' }, { auth: 'dTpw ' }, { username: 'u', password: 'p', email: null }),
);

/** What a namespace's Secret holds when it is read to be renewed. */
const pullSecretData: fc.Arbitrary<FuzzedMessage> = fc
  .tuple(
    mutate(fc.record({ auths: fc.record({ [hostileHost]: entries, 'registry.example.com': entries }) })),
    annotations,
  )
  .map(([config, hosts]) => ({
    kind: 'pull-secret-data' as const,
    where: 'answer' as const,
    texts: [JSON.stringify(secretHolding(config, hosts))],
  }));

function secretHolding(dockerConfig: string, hosts: Record<string, string>) {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'ecr-pull-secrets',
      uid: 'hostile-uid',
      resourceVersion: '1',
      labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
      annotations: hosts,
    },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(dockerConfig).toString('base64') },
  };
}

describe('fuzzed answers of the API server', () => {
  let world: FuzzedCluster;
  before(async () => {
    world = await FuzzedCluster.start();
  });
  after(async () => await world.stop());

  fuzz({
    part: 'watches',
    values: fc.oneof({ weight: 5, arbitrary: said }, pullSecretData),
    check: async (value) => await world.check(value),
    afterwards: async () => await world.assertClean(),
  });
});

/** The program with every watch that it has, before a stand-in that can be made to say anything. */
class FuzzedCluster {
  readonly #cluster: ApiStandIn;
  readonly #ecr: EcrDouble;
  readonly #proxy: InjectingProxy;
  readonly #options: CertificatesFixture;
  readonly #program: RunningProgram;
  readonly #target: FuzzTarget;
  readonly #startedAt = Date.now();
  #count = 0;

  private constructor(
    cluster: ApiStandIn,
    ecr: EcrDouble,
    proxy: InjectingProxy,
    setting: CertificatesFixture,
    program: RunningProgram,
  ) {
    this.#cluster = cluster;
    this.#ecr = ecr;
    this.#proxy = proxy;
    this.#options = setting;
    this.#program = program;
    this.#target = new FuzzTarget(program, () => ecr.secrets());
  }

  static async start(): Promise<FuzzedCluster> {
    const cluster = await startApiStandIn();
    const ecr = await startEcrDouble();
    const proxy = await InjectingProxy.start(cluster.url);
    const setting = await createCertificatesFixture(cluster, { url: 'https://127.0.0.1:9/mutate' });
    const { namespace, webhookConfiguration } = setting.place;
    const program = await startProgram({
      kubeconfigPath: proxy.kubeconfig(cluster.kubeconfigPath),
      environment: ecr.env(),
      config: {
        certificates: { source: 'managed', namespace, webhookConfiguration, ipAddresses: ['127.0.0.1'] },
        // a namespace that is provisioned has its Secret read, which would hide that the watch has missed it
        provisioning: { registries: [host], namespaces: { names: ['good-*', 'hostile', 'AKIA*'] } },
      },
    });
    return new FuzzedCluster(cluster, ecr, proxy, setting, program);
  }

  async stop(): Promise<void> {
    this.#target.close();
    await this.#program.stop();
    await this.#proxy.stop();
    await this.#ecr.stop();
    await this.#cluster.stop();
  }

  /** Has it said, and then expects the program to take what is true. */
  async check({ kind: what, where, texts }: FuzzedMessage): Promise<void> {
    const sent = texts.map((text) => this.#target.plant(text));
    if (what === 'pull-secret-data') {
      await this.#renewFrom(sent[0] ?? '');
      await this.#assertTakes('pull-secrets');
      return;
    }
    const { collection, object } = this.#pathsOf(what);
    await eventually('the watch is open', () => this.#proxy.openWatches(collection) > 0, 20_000);
    try {
      if (where === 'watch') {
        for (const line of sent) this.#proxy.inject(collection, line);
      } else if (where === 'list') {
        this.#proxy.items.set(collection, sent);
        this.#cluster.faults.expireWatches();
      } else {
        await this.#readOnce(collection, object, sent[0] ?? '');
      }
      await this.#assertTakes(what);
    } finally {
      this.#proxy.items.clear();
      this.#proxy.answers.clear();
    }
  }

  /** Has the program read a Secret that is due, whose data are not what they were, once. */
  async #renewFrom(sent: string): Promise<void> {
    this.#count += 1;
    const namespace = `read-${this.#count}`;
    const before = this.#proxy.answered;
    this.#proxy.answers.set(secretPath(namespace), sent);
    await this.#store(namespace, hostileHost, Date.now() + 4 * 3_600_000);
    await this.#eventually('the Secret is read', () => this.#proxy.answered > before);
    this.#proxy.answers.clear();
  }

  /** Has the program read the object, which is not what it was, once; after that it is again. */
  async #readOnce(collection: string, object: string, sent: string): Promise<void> {
    const before = this.#proxy.answered;
    this.#proxy.answers.set(object, sent);
    this.#proxy.inject(collection, JSON.stringify({ type: 'MODIFIED', object: this.#changedObject() }));
    await this.#eventually('the object is read', () => this.#proxy.answered > before);
    this.#proxy.answers.clear();
  }

  /** An object that nobody knows, of the latest version. */
  #changedObject() {
    this.#count += 1;
    const name = `changed-${this.#count}`;
    const { resourceVersion } = this.#cluster.seed(`/api/v1/namespaces/x/configmaps/${name}`, {}).metadata;
    return { metadata: { name, namespace: 'x', uid: 'x', resourceVersion } };
  }

  async assertClean(): Promise<void> {
    await this.#assertTakes('pull-secrets');
    await this.#assertTakes('webhook-configuration');
    await this.#assertTakes('namespaces');
    this.#target.assertLogClean();
    this.#target.assertShowsNothing('the metrics', await this.#program.metrics());
  }

  #pathsOf(what: (typeof kinds)[number]): { collection: string; object: string } {
    const { namespace, secretName, webhookConfiguration } = this.#options.place;
    const collection = {
      'pull-secrets': '/api/v1/secrets',
      namespaces: '/api/v1/namespaces',
      'service-accounts': '/api/v1/serviceaccounts',
      'tls-secret': `/api/v1/namespaces/${namespace}/secrets`,
      'webhook-configuration': '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
    }[what];
    const name = what === 'tls-secret' ? secretName : webhookConfiguration;
    return { collection, object: `${collection}/${name}` };
  }

  /** Changes an object of the kind, and waits until that has its effect. */
  async #assertTakes(what: Kind): Promise<void> {
    this.#count += 1;
    if (what === 'pull-secrets') await this.#assertTakesPullSecret();
    else if (what === 'tls-secret' || what === 'webhook-configuration') await this.#assertRepairsBundle();
    else await this.#assertProvisions();
    assert.equal(sumOf(await this.#program.metrics(), 'ecr_pull_secrets_in_sync'), 1);
  }

  /** A token that expires a second before all others shows in the metric of its region. */
  async #assertTakesPullSecret(): Promise<void> {
    const region = 'ap-south-1';
    const end = Math.floor(this.#startedAt / 1000) + 11 * 3_600 - this.#count;
    await this.#store(`held-${this.#count}`, host.replace('eu-central-1', region), end * 1000);
    await this.#eventually('a good pull Secret is taken', async () => {
      const metrics = await this.#program.metrics();
      return (
        sumOf(metrics, 'ecr_pull_secrets_token_expiration_timestamp_seconds', `region="${region}"`) === end
      );
    });
  }

  /** Stores a Secret with a token of 12 hours as the program would have left it. */
  async #store(namespace: string, ofHost: string, expiresAt: number): Promise<void> {
    const life = { issuedAt: expiresAt - 12 * 3_600_000, expiresAt };
    const content = buildPullSecret(new Map([[ofHost, life]]), 1);
    this.#cluster.seed(`/api/v1/namespaces/${namespace}`, { metadata: { name: namespace } });
    const path = `${secretPath(namespace)}?fieldManager=ecr-pull-secrets&force=true`;
    await this.#cluster.request('PATCH', path, content, { contentType: 'application/apply-patch+yaml' });
  }

  /** A namespace with a ServiceAccount gets its Secret and the reference. */
  async #assertProvisions(): Promise<void> {
    const namespace = await this.#cluster.createNamespace('good');
    await this.#eventually('a good namespace is provisioned', () => {
      const account = this.#cluster.stored(`/api/v1/namespaces/${namespace}/serviceaccounts/default`);
      return (
        this.#cluster.stored(secretPath(namespace)) !== undefined &&
        account?.['imagePullSecrets'] !== undefined
      );
    });
  }

  /** A caBundle that somebody took away comes back. */
  async #assertRepairsBundle(): Promise<void> {
    await this.#options.setCaBundle(undefined);
    await this.#eventually('the caBundle is repaired', async () => {
      const published = await this.#options.published();
      return published.every((bundle) => bundle.length > 0);
    });
  }

  async #eventually(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(what, probe, 15_000).catch((cause: unknown) => {
      const lines = this.#program
        .log()
        .slice(-3)
        .map((line) => JSON.stringify(line));
      throw new Error(`not within 15 s: ${what}. The log ends with:\n${lines.join('\n')}`, { cause });
    });
  }
}
