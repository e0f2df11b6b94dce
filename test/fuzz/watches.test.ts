// Random objects in every list, random lines in every watch, and random responses to single reads.

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

/** Random data from the API server, and where it is sent. */
interface FuzzedMessage {
  readonly kind: Kind;
  /** Items of each list, lines of the open watch, or the response to a read of the single object. */
  readonly where: 'list' | 'watch' | 'read';
  readonly texts: readonly string[];
}

/** In another region than the objects that the checks wait for. */
const hostileHost = '123456789012.dkr.ecr.us-east-2.amazonaws.com';

const annotations = hostileText.map((lifetime) => ({ [hostsAnnotation]: `{"${hostileHost}":${lifetime}}` }));

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

/** Several at once, because the effect of one takes as long to check. */
const several = (texts: fc.Arbitrary<string>) => fc.array(texts, { minLength: 1, maxLength: 8 });

const kind = fc.constantFrom(...kinds);
const messages: fc.Arbitrary<FuzzedMessage> = fc.oneof(
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
    where: fc.constant('read' as const),
    texts: fc.tuple(mutate(objects)),
  }),
);

const entries = fc.oneof(
  fc.constantFrom({ auth: 'QVdTOnRva2Vu' }, { username: 'u', password: placeholder }, { auth: placeholder }),
  fc.constantFrom({ Auth: '!!!' }, { auth: 'dTpw ' }, { username: 'u', password: 'p', email: null }),
);

/** The content of a namespace's Secret when it is read for renewal. */
const pullSecretData: fc.Arbitrary<FuzzedMessage> = fc
  .tuple(
    mutate(fc.record({ auths: fc.record({ [hostileHost]: entries, 'registry.example.com': entries }) })),
    annotations,
  )
  .map(([config, hosts]) => ({
    kind: 'pull-secret-data' as const,
    where: 'read' as const,
    texts: [JSON.stringify(buildSecret(config, hosts))],
  }));

function buildSecret(dockerConfig: string, hosts: Record<string, string>) {
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

describe('fuzzed responses of the API server', () => {
  let cluster: FuzzedCluster;
  before(async () => {
    cluster = await FuzzedCluster.start();
  });
  after(async () => await cluster.stop());

  fuzz({
    part: 'watches',
    values: fc.oneof({ weight: 5, arbitrary: messages }, pullSecretData),
    check: async (value) => await cluster.check(value),
    afterwards: async () => await cluster.assertClean(),
  });
});

/** The program with all its watches, and a stand-in whose responses can be replaced. */
class FuzzedCluster {
  readonly #cluster: ApiStandIn;
  readonly #ecr: EcrDouble;
  readonly #proxy: InjectingProxy;
  readonly #certificates: CertificatesFixture;
  readonly #program: RunningProgram;
  readonly #target: FuzzTarget;
  readonly #startedAt = Date.now();
  #count = 0;

  private constructor(
    cluster: ApiStandIn,
    ecr: EcrDouble,
    proxy: InjectingProxy,
    certificates: CertificatesFixture,
    program: RunningProgram,
  ) {
    this.#cluster = cluster;
    this.#ecr = ecr;
    this.#proxy = proxy;
    this.#certificates = certificates;
    this.#program = program;
    this.#target = new FuzzTarget(program, () => ecr.secrets());
  }

  static async start(): Promise<FuzzedCluster> {
    const cluster = await startApiStandIn();
    const ecr = await startEcrDouble();
    const proxy = await InjectingProxy.start(cluster.url);
    const certificates = await createCertificatesFixture(cluster, { url: 'https://127.0.0.1:9/mutate' });
    const { namespace, webhookConfiguration } = certificates.location;
    const program = await startProgram({
      kubeconfigPath: proxy.kubeconfig(cluster.kubeconfigPath),
      environment: ecr.env(),
      config: {
        certificates: { source: 'managed', namespace, webhookConfiguration, ipAddresses: ['127.0.0.1'] },
        // Provisioning a namespace reads its Secret, which would hide that the watch has missed it. `*0000*` selects names with a
        // planted credential.
        provisioning: { registries: [host], namespaces: { names: ['good-*', 'hostile', '*0000*'] } },
      },
    });
    return new FuzzedCluster(cluster, ecr, proxy, certificates, program);
  }

  async stop(): Promise<void> {
    this.#target.close();
    await this.#program.stop();
    await this.#proxy.stop();
    await this.#ecr.stop();
    await this.#cluster.stop();
  }

  /** Sends the data, then expects the program to process valid objects. */
  async check({ kind, where, texts }: FuzzedMessage): Promise<void> {
    const sent = texts.map((text) => this.#target.plant(text));
    if (kind === 'pull-secret-data') {
      await this.#renewFrom(sent[0] ?? '');
      await this.#assertProcesses('pull-secrets');
      return;
    }
    const { collection, object } = this.#pathsOf(kind);
    await eventually('the watch is open', () => this.#proxy.openWatches(collection) > 0);
    try {
      if (where === 'watch') {
        for (const line of sent) {
          this.#proxy.inject(collection, line);
        }
      } else if (where === 'list') {
        this.#proxy.items.set(collection, sent);
        this.#cluster.faults.expireWatches();
      } else {
        await this.#readOnce(collection, object, sent[0] ?? '');
      }
      await this.#assertProcesses(kind);
    } finally {
      this.#proxy.items.clear();
      this.#proxy.replacements.clear();
    }
  }

  /** Makes the program read a Secret that is due for renewal, with replaced data, once. */
  async #renewFrom(sent: string): Promise<void> {
    this.#count += 1;
    const namespace = `read-${this.#count}`;
    const before = this.#proxy.replaced;
    this.#proxy.replacements.set(secretPath(namespace), sent);
    await this.#store(namespace, hostileHost, Date.now() + 4 * 3_600_000);
    await this.#eventually('the Secret is read', () => this.#proxy.replaced > before);
    this.#proxy.replacements.clear();
  }

  /** Makes the program read the object with replaced data, once. */
  async #readOnce(collection: string, object: string, sent: string): Promise<void> {
    const before = this.#proxy.replaced;
    this.#proxy.replacements.set(object, sent);
    this.#proxy.inject(collection, JSON.stringify({ type: 'MODIFIED', object: this.#changedObject() }));
    await this.#eventually('the object is read', () => this.#proxy.replaced > before);
    this.#proxy.replacements.clear();
  }

  /** An unknown object with the latest resourceVersion. */
  #changedObject() {
    this.#count += 1;
    const name = `changed-${this.#count}`;
    const { resourceVersion } = this.#cluster.seed(`/api/v1/namespaces/x/configmaps/${name}`, {}).metadata;
    return { metadata: { name, namespace: 'x', uid: 'x', resourceVersion } };
  }

  async assertClean(): Promise<void> {
    await this.#assertProcesses('pull-secrets');
    await this.#assertProcesses('webhook-configuration');
    await this.#assertProcesses('namespaces');
    this.#target.assertLogClean();
    this.#target.assertShowsNothing('the metrics', await this.#program.metrics());
  }

  #pathsOf(kind: (typeof kinds)[number]): { collection: string; object: string } {
    const { namespace, secretName, webhookConfiguration } = this.#certificates.location;
    const collection = {
      'pull-secrets': '/api/v1/secrets',
      namespaces: '/api/v1/namespaces',
      'service-accounts': '/api/v1/serviceaccounts',
      'tls-secret': `/api/v1/namespaces/${namespace}/secrets`,
      'webhook-configuration': '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
    }[kind];
    const name = kind === 'tls-secret' ? secretName : webhookConfiguration;
    return { collection, object: `${collection}/${name}` };
  }

  /** Changes an object of the kind, and waits for the effect. */
  async #assertProcesses(kind: Kind): Promise<void> {
    this.#count += 1;
    if (kind === 'pull-secrets') {
      await this.#assertProcessesPullSecret();
    } else if (kind === 'tls-secret' || kind === 'webhook-configuration') {
      await this.#assertRepairsBundle();
    } else {
      await this.#assertProvisions();
    }
    assert.equal(sumOf(await this.#program.metrics(), 'ecr_pull_secrets_in_sync'), 1);
  }

  /** A token that expires a second before all others shows in the metric of its region. */
  async #assertProcessesPullSecret(): Promise<void> {
    const region = 'ap-south-1';
    const expiresAt = Math.floor(this.#startedAt / 1000) + 11 * 3_600 - this.#count;
    await this.#store(`held-${this.#count}`, host.replace('eu-central-1', region), expiresAt * 1000);
    await this.#eventually('a valid pull Secret is processed', async () => {
      const metrics = await this.#program.metrics();
      return (
        sumOf(metrics, 'ecr_pull_secrets_token_expiration_timestamp_seconds', `region="${region}"`) ===
        expiresAt
      );
    });
  }

  /** Stores a Secret as the program does, with a token that is valid for 12 hours. */
  async #store(namespace: string, ofHost: string, expiresAt: number): Promise<void> {
    const lifetime = { issuedAt: expiresAt - 12 * 3_600_000, expiresAt };
    const content = buildPullSecret(new Map([[ofHost, lifetime]]), 1);
    this.#cluster.seed(`/api/v1/namespaces/${namespace}`, { metadata: { name: namespace } });
    const path = `${secretPath(namespace)}?fieldManager=ecr-pull-secrets&force=true`;
    await this.#cluster.request('PATCH', path, content, { contentType: 'application/apply-patch+yaml' });
  }

  /** A namespace with a ServiceAccount gets its Secret and the reference. */
  async #assertProvisions(): Promise<void> {
    const namespace = await this.#cluster.createNamespace('good');
    await this.#eventually('a valid namespace is provisioned', () => {
      const account = this.#cluster.getStored(`/api/v1/namespaces/${namespace}/serviceaccounts/default`);
      return (
        this.#cluster.getStored(secretPath(namespace)) !== undefined &&
        account?.['imagePullSecrets'] !== undefined
      );
    });
  }

  /** A caBundle that was removed is restored. */
  async #assertRepairsBundle(): Promise<void> {
    await this.#certificates.setCaBundle(undefined);
    await this.#eventually('the caBundle is repaired', async () => {
      const published = await this.#certificates.published();
      return published.every((bundle) => bundle.length > 0);
    });
  }

  async #eventually(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(what, probe).catch((cause: unknown) => {
      const lines = this.#program
        .log()
        .slice(-3)
        .map((line) => JSON.stringify(line));
      throw new Error(`not within 15 s: ${what}. The log ends with:\n${lines.join('\n')}`, { cause });
    });
  }
}
