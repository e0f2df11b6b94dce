// Tests of the values that operators know from other charts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import { ConfigError, readConfig } from '../../src/config/load-config.ts';
import { findSchemaProblem } from '../support/manifest-schemas.ts';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { getApiVersions, registry, rolesAnywhere } from './install-modes.ts';
import { findOne, getValueAt, type KubeObject, parseConfigFile } from './rendered-objects.ts';

const kubeVersion = '1.37.0';
const newest = { kubeVersion, apiVersions: getApiVersions(kubeVersion) };
const provisioning = { registries: [registry] };

/** Values with which the chart renders every kind of pod and every object that is off by default. */
const everything: Values = {
  cronJob: { enabled: true, besideDeployment: true },
  config: { provisioning, catchUp: { evict: true } },
  autoscaling: { enabled: true },
  networkPolicy: { enabled: true },
  metrics: {
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
};

const podPlaces: Readonly<Record<string, string>> = {
  Pod: '',
  Deployment: 'spec.template',
  CronJob: 'spec.jobTemplate.spec.template',
};

/** The pods and pod templates in all objects, by the name of the object. */
function podsOf(objects: readonly KubeObject[]): Map<string, KubeObject> {
  return new Map(
    objects.flatMap((object) => {
      const place = podPlaces[object.kind];
      return place === undefined
        ? []
        : [[object.metadata.name, place === '' ? object : getValueAt(object, place)]];
    }),
  );
}

const webhook = 'ecr-pull-secrets';
const controller = 'ecr-pull-secrets-certificates';
const sync = 'ecr-pull-secrets-sync';
const doctor = 'ecr-pull-secrets-test-doctor';
const readyz = 'ecr-pull-secrets-test-readyz';

describeWithHelm('conventional values', (helm) => {
  const render = async (values: Values = {}) => {
    const objects = await helm().template({ ...everything, ...values }, newest);
    const builtIn = objects.filter(({ apiVersion }) => !apiVersion.startsWith('monitoring.coreos.com/'));
    const problems = await Promise.all(builtIn.map(findSchemaProblem));
    assert.deepEqual(
      problems.filter((problem) => problem !== undefined),
      [],
    );
    return objects;
  };
  const pods = async (values: Values = {}) => podsOf(await render(values));
  const specs = async (values: Values = {}): Promise<[string, ReturnType<typeof getValueAt>][]> =>
    [...(await pods(values))].map(([name, pod]) => [name, getValueAt(pod, 'spec')]);
  /** The names of the pods whose spec satisfies the condition. */
  const podsWith = async (values: Values, condition: (spec: ReturnType<typeof getValueAt>) => boolean) =>
    (await specs(values))
      .filter(([, spec]) => condition(spec))
      .map(([name]) => name)
      .sort();

  it('render all kinds of pods in these tests', async () => {
    assert.deepEqual([...(await pods()).keys()].sort(), [webhook, controller, sync, doctor, readyz]);
  });

  it('add labels and annotations to every object, without replacing those of the chart', async () => {
    const values = {
      commonLabels: { team: 'platform', 'app.kubernetes.io/part-of': 'registry' },
      commonAnnotations: { 'example.com/owner': 'platform' },
    };
    const objects = await render(values);
    for (const { kind, metadata } of objects) {
      const name = `${kind}/${metadata.name}`;
      assert.equal(metadata.labels?.['team'], 'platform', name);
      assert.equal(metadata.labels?.['app.kubernetes.io/part-of'], 'registry', name);
      assert.equal(metadata.labels?.['app.kubernetes.io/name'], 'ecr-pull-secrets', name);
      assert.equal(metadata.annotations?.['example.com/owner'], 'platform', name);
    }
    for (const [name, { metadata }] of podsOf(objects)) {
      assert.equal(metadata.labels?.['team'], 'platform', name);
    }
    const deployment = findOne(objects, 'Deployment', webhook);
    assert.equal(
      getValueAt(deployment, 'spec.selector.matchLabels.team'),
      undefined,
      'selectors are immutable',
    );
    assert.equal(findOne(objects, 'ServiceMonitor').metadata.labels?.['release'], 'prometheus');
    assert.equal(findOne(objects, 'Pod', doctor).metadata.annotations?.['helm.sh/hook'], 'test');
    await assert.rejects(render({ commonLabels: { 'app.kubernetes.io/name': 'x' } }), /at '\/commonLabels/);
    await assert.rejects(render({ podLabels: { 'app.kubernetes.io/component': 'x' } }), /at '\/podLabels/);
    await assert.rejects(
      render({ metrics: { podMonitor: { labels: { 'app.kubernetes.io/name': 'x' } } } }),
      /at '\/metrics\/podMonitor\/labels/,
    );
  });

  it('add annotations and labels to single kinds of objects', async () => {
    const objects = await render({
      deploymentAnnotations: { 'reloader.stakater.com/auto': 'true' },
      podAnnotations: { a: 'pod' },
      podLabels: { b: 'pod' },
      webhook: { annotations: { c: 'webhook' } },
      service: { annotations: { d: 'service' }, labels: { e: 'service' } },
      serviceAccount: { annotations: { f: 'account' }, labels: { g: 'account' } },
    });
    for (const name of [webhook, controller]) {
      const { metadata } = findOne(objects, 'Deployment', name);
      assert.deepEqual(metadata.annotations, { 'reloader.stakater.com/auto': 'true' });
    }
    for (const [name, { metadata }] of podsOf(objects)) {
      assert.deepEqual([metadata.annotations?.['a'], metadata.labels?.['b']], ['pod', 'pod'], name);
    }
    assert.deepEqual(findOne(objects, 'MutatingWebhookConfiguration').metadata.annotations, { c: 'webhook' });
    const service = findOne(objects, 'Service', webhook).metadata;
    assert.deepEqual([service.annotations, service.labels?.['e']], [{ d: 'service' }, 'service']);
    const account = findOne(objects, 'ServiceAccount', webhook).metadata;
    assert.deepEqual([account.annotations, account.labels?.['g']], [{ f: 'account' }, 'account']);
  });

  it("keep cert-manager's annotation of the webhook beside others", async () => {
    const certificates = { mode: 'certManager' };
    const objects = await helm().template({ certificates, webhook: { annotations: { c: 'webhook' } } });
    assert.deepEqual(findOne(objects, 'MutatingWebhookConfiguration').metadata.annotations, {
      c: 'webhook',
      'cert-manager.io/inject-ca-from': 'ecr-pull-secrets/ecr-pull-secrets',
    });
  });

  describe('of images', () => {
    const aws = { credentials: { source: 'rolesAnywhere', rolesAnywhere } };
    const images = async (values: Values) => {
      const spec = getValueAt((await pods({ aws, ...values })).get(webhook), 'spec');
      return [...spec.containers, ...spec.initContainers].map((one: unknown) => getValueAt(one, 'image'));
    };
    const helper = 'rolesanywhere/credential-helper:1.8.1-2026.04.09.16.01';

    it('take all images from the registry of `global.imageRegistry`', async () => {
      assert.deepEqual(await images({}), ['ecr-pull-secrets:0.1.0', `public.ecr.aws/${helper}`]);
      const global = { imageRegistry: 'mirror.example:5000/cache' };
      assert.deepEqual(
        await images({ global, image: { registry: 'other.example', repository: 'ghcr.io/x/y' } }),
        ['mirror.example:5000/cache/x/y:0.1.0', `mirror.example:5000/cache/${helper}`],
      );
    });

    it('take one image from its own registry', async () => {
      const digest = `sha256:${'0'.repeat(64)}`;
      assert.deepEqual(await images({ image: { registry: 'other.example', repository: 'team/y', digest } }), [
        `other.example/team/y@${digest}`,
        `public.ecr.aws/${helper}`,
      ]);
    });
  });

  it('give all pods the pull Secrets of the chart and of its parent chart, once each', async () => {
    const values = {
      global: { imagePullSecrets: ['a', { name: 'b' }] },
      imagePullSecrets: [{ name: 'b' }, 'c'],
    };
    for (const [name, spec] of await specs(values)) {
      assert.deepEqual(spec.imagePullSecrets, [{ name: 'a' }, { name: 'b' }, { name: 'c' }], name);
    }
  });

  for (const removed of [null, '']) {
    it(`remove keys of the security contexts that are ${JSON.stringify(removed)}, as OpenShift needs`, async () => {
      const values = {
        podSecurityContext: {
          runAsUser: removed,
          runAsGroup: removed,
          fsGroup: removed,
          seccompProfile: removed,
          supplementalGroups: removed,
        },
        securityContext: { readOnlyRootFilesystem: false, runAsNonRoot: true, privileged: removed },
      };
      for (const [name, spec] of await specs(values)) {
        assert.deepEqual(spec.securityContext, { runAsNonRoot: true }, name);
        assert.deepEqual(
          spec.containers[0].securityContext,
          {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            readOnlyRootFilesystem: false,
            runAsNonRoot: true,
          },
          name,
        );
      }
    });
  }

  it('share DNS, host aliases, priority, node selector, tolerations and affinity among all pods', async () => {
    const shared = {
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['10.0.0.10'] },
      hostAliases: [{ ip: '10.0.0.1', hostnames: ['sts.example'] }],
      priorityClassName: 'system-cluster-critical',
      nodeSelector: { 'kubernetes.io/os': 'linux', pool: 'infra' },
      tolerations: [{ key: 'infra', operator: 'Exists' }],
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
    };
    for (const [name, spec] of await specs(shared)) {
      const found = Object.fromEntries(Object.keys(shared).map((key) => [key, spec[key]]));
      assert.deepEqual(found, shared, name);
    }
  });

  it('extend the pods that call AWS, and only the webhook by arguments and containers', async () => {
    const values = {
      extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' }],
      extraEnvFrom: [{ configMapRef: { name: 'proxy' } }],
      extraVolumes: [{ name: 'ca', configMap: { name: 'company-ca' } }],
      extraVolumeMounts: [{ name: 'ca', mountPath: '/etc/company-ca' }],
      extraInitContainers: [{ name: 'fetch-ca', image: 'busybox' }],
      extraContainers: [{ name: 'log-shipper', image: 'busybox' }],
      extraArgs: ['--log-level=debug'],
      aws: { credentials: { source: 'secret', secret: { name: 'keys' } } },
    };
    const named = (list: unknown[] | undefined, name: string) =>
      list?.some((one) => getValueAt(one, 'name') === name) ?? false;
    const callers = [webhook, sync, doctor];
    assert.deepEqual(
      await podsWith(values, ({ containers }) => named(containers[0].env, 'HTTPS_PROXY')),
      callers,
    );
    assert.deepEqual(
      await podsWith(values, ({ containers }) => containers[0].envFrom?.length === 2),
      callers,
      'beside the Secret with the keys',
    );
    assert.deepEqual(await podsWith(values, ({ volumes }) => named(volumes, 'ca')), callers);
    assert.deepEqual(
      await podsWith(values, ({ containers }) => named(containers[0].volumeMounts, 'ca')),
      callers,
    );
    assert.deepEqual(
      await podsWith(values, ({ initContainers }) => named(initContainers, 'fetch-ca')),
      callers,
    );
    assert.deepEqual(await podsWith(values, ({ containers }) => named(containers, 'log-shipper')), [webhook]);
    assert.deepEqual(
      await podsWith(values, ({ containers }) => containers[0].args?.includes('--log-level=debug')),
      [webhook],
    );
  });

  it('replace variables that the chart sets, because a variable can be applied once only', async () => {
    const region = { name: 'AWS_REGION', value: 'eu-west-1' };
    const role = { name: 'AWS_ROLE_ARN', value: 'arn:aws:iam::123456789012:role/other' };
    const address = { name: 'WEBHOOK_ADDRESS', value: '0.0.0.0' };
    const webIdentity = { roleArn: 'arn:aws:iam::123456789012:role/x' };
    const values = {
      aws: { region: 'eu-central-1', credentials: { source: 'webIdentity', webIdentity } },
      hostNetwork: true,
      extraEnv: [region, role, address],
    };
    for (const name of [webhook, sync, doctor]) {
      const env = getValueAt((await pods(values)).get(name), 'spec.containers.0.env');
      const names = env.map((one: unknown) => getValueAt(one, 'name'));
      assert.deepEqual(names.slice(0, 2), ['AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ROLE_SESSION_NAME'], name);
      assert.deepEqual(env.slice(2), values.extraEnv, name);
    }
    await assert.rejects(render({ extraEnv: [region, role, region] }), /extraEnv contains AWS_REGION twice/);
    const controller = { enabled: true, extraEnv: [role, role] };
    await assert.rejects(
      render({ certificates: { managed: { controller } } }),
      /certificates\.managed\.controller\.extraEnv contains AWS_ROLE_ARN twice/,
    );
  });

  it('spread the replicas by the default constraints, by others, or by none', async () => {
    const spread = async (values: Values) =>
      getValueAt((await pods(values)).get(webhook), 'spec.topologySpreadConstraints');
    const matchLabels = {
      'app.kubernetes.io/name': 'ecr-pull-secrets',
      'app.kubernetes.io/instance': 'ecr-pull-secrets',
      'app.kubernetes.io/component': 'webhook',
    };
    const common = { maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels } };
    const matchLabelKeys = ['pod-template-hash'];
    assert.deepEqual(await spread({}), [
      { topologyKey: 'kubernetes.io/hostname', ...common, matchLabelKeys },
      { topologyKey: 'topology.kubernetes.io/zone', ...common, matchLabelKeys },
    ]);
    const own = { topologyKey: 'rack', maxSkew: 2, whenUnsatisfiable: 'DoNotSchedule' };
    const selecting = { ...own, labelSelector: { matchLabels: { app: 'x' } } };
    assert.deepEqual(await spread({ topologySpreadConstraints: [own, selecting] }), [
      { ...own, labelSelector: { matchLabels } },
      selecting,
    ]);
    for (const none of [[], null]) {
      assert.equal(await spread({ topologySpreadConstraints: none }), undefined);
    }
  });

  it('set the strategy, the history and the grace period of the Deployment', async () => {
    const spec = async (values: Values) =>
      getValueAt(findOne(await render(values), 'Deployment', webhook), 'spec');
    const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
    const plain = await spec({});
    assert.deepEqual(plain.strategy, { type: 'RollingUpdate', rollingUpdate });
    assert.deepEqual(
      [plain.revisionHistoryLimit, plain.template.spec.terminationGracePeriodSeconds],
      [10, 70],
    );
    const other = await spec({
      strategy: { type: 'Recreate' },
      revisionHistoryLimit: 0,
      terminationGracePeriodSeconds: 3_600_000,
    });
    assert.deepEqual(other.strategy, { type: 'Recreate' });
    assert.deepEqual(
      [other.revisionHistoryLimit, other.template.spec.terminationGracePeriodSeconds],
      [0, 3_600_000],
    );
  });

  it("run only the webhook in the nodes' network, with one replica a node", async () => {
    const own = { topologyKey: 'rack', labelSelector: {} };
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [own] } };
    const values = {
      hostNetwork: true,
      affinity,
      webhook: { port: 9443 },
      config: { provisioning, status: { port: 9444 } },
    };
    assert.deepEqual(await podsWith(values, ({ hostNetwork }) => hostNetwork), [webhook]);
    const objects = await render(values);
    const { strategy, template } = getValueAt(findOne(objects, 'Deployment', webhook), 'spec');
    assert.deepEqual(strategy.rollingUpdate, { maxSurge: 0, maxUnavailable: 1 });
    assert.equal(template.spec.dnsPolicy, 'ClusterFirstWithHostNet');
    const { labels } = template.metadata;
    const [first, second, ...more] =
      template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    assert.deepEqual([first, second.topologyKey, more], [own, 'kubernetes.io/hostname', []]);
    for (const [key, value] of Object.entries(second.labelSelector.matchLabels)) {
      assert.equal(labels[key], value, key);
    }
    const ports = template.spec.containers[0].ports.map((one: unknown) => getValueAt(one, 'containerPort'));
    assert.deepEqual(ports, [9443, 9444]);
    assert.equal(
      getValueAt((await pods({ hostNetwork: true, dnsPolicy: 'Default' })).get(webhook), 'spec.dnsPolicy'),
      'Default',
    );
  });

  it('write the port of the webhook into the configuration only if it is not the default', async () => {
    const port = async (values: Values) =>
      getValueAt(parseConfigFile(findOne(await render(values), 'ConfigMap', webhook)), 'webhook.port');
    assert.equal(await port({}), undefined);
    assert.equal(await port({ webhook: { port: 10250 } }), 10_250);
    const policy = findOne(await render({ webhook: { port: 10250 } }), 'NetworkPolicy', webhook);
    assert.equal(getValueAt(policy, 'spec.ingress.0.ports.0.port'), 10_250);
  });

  it('mount the token of the ServiceAccount without the automatic mount', async () => {
    const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
    const mountsToken = (spec: ReturnType<typeof getValueAt>) =>
      spec.containers[0].volumeMounts?.some(({ name, mountPath }: { name: string; mountPath: string }) => {
        const volume = spec.volumes.find((one: unknown) => getValueAt(one, 'name') === name);
        return mountPath === folder && getValueAt(volume, 'projected.sources')?.length === 3;
      }) ?? false;
    const running = [webhook, controller, sync, doctor];
    assert.deepEqual(
      await podsWith({}, ({ automountServiceAccountToken }) => automountServiceAccountToken),
      running,
    );
    assert.deepEqual(await podsWith({}, mountsToken), []);
    const manual = { automountServiceAccountToken: false };
    assert.deepEqual(
      await podsWith(manual, ({ automountServiceAccountToken }) => automountServiceAccountToken),
      [],
    );
    assert.deepEqual(await podsWith(manual, mountsToken), running);
    const extra = {
      extraVolumes: [{ name: 'own-token', emptyDir: {} }],
      extraVolumeMounts: [{ name: 'own-token', mountPath: folder }],
    };
    assert.deepEqual(
      await podsWith({ ...manual, ...extra }, mountsToken),
      [controller],
      'a path can be mounted once only, and the controller has no additional mounts',
    );
    const account = findOne(
      await render({ serviceAccount: { automountServiceAccountToken: false } }),
      'ServiceAccount',
      webhook,
    );
    assert.equal(getValueAt(account, 'automountServiceAccountToken'), false);
  });

  it('set the IP families of the Services', async () => {
    const service = { ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv6', 'IPv4'] };
    const objects = await render({ service });
    for (const name of [webhook, `${webhook}-status`]) {
      const { ipFamilyPolicy, ipFamilies } = getValueAt(findOne(objects, 'Service', name), 'spec');
      assert.deepEqual({ ipFamilyPolicy, ipFamilies }, service);
    }
  });

  it('pass on labels and annotations of pull Secrets, and refuse those that the program sets', async () => {
    const values = {
      secretLabels: { team: 'platform' },
      secretAnnotations: { 'example.com/owner': 'platform' },
    };
    const config = parseConfigFile(findOne(await render(values), 'ConfigMap', webhook));
    assert.deepEqual(config['secrets'], {
      labels: values.secretLabels,
      annotations: values.secretAnnotations,
    });
    assert.equal(parseConfigFile(findOne(await render(), 'ConfigMap', webhook))['secrets'], undefined);
    // The program would refuse these when it starts.
    const refused: readonly [key: string, value: string][] = [
      ['app.kubernetes.io/managed-by', 'x'],
      ['ecr-pull-secrets.io/hosts', ''],
      ['argocd.argoproj.io/instance', 'x'],
      ['kubectl.kubernetes.io/x', 'x'],
      ['applyset.kubernetes.io/part-of', 'x'],
      ['helm.sh/chart', 'x'],
      ['meta.helm.sh/release-name', 'x'],
      ['kustomize.toolkit.fluxcd.io/name', 'x'],
      ['helm.toolkit.fluxcd.io/name', 'x'],
    ];
    for (const name of ['secretLabels', 'secretAnnotations']) {
      const setting = name === 'secretLabels' ? 'labels' : 'annotations';
      for (const [key, value] of refused) {
        const message = new RegExp(`at '/${name}/|${name} contains ${key}, by which`);
        await assert.rejects(render({ [name]: { [key]: value } }), message, key);
        const config = stringify({ secrets: { [setting]: { [key]: value } } });
        assert.throws(() => readConfig(config, 'config.yaml'), ConfigError, key);
      }
      const many = Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`k${index}`, 'x']));
      await assert.rejects(render({ [name]: many }), new RegExp(`at '/${name}`));
    }
    await assert.rejects(render({ secretAnnotations: { x: 'x'.repeat(1025) } }), /at '\/secretAnnotations/);
    const lines = { x: 'a\r\nb\u0001\n', y: '  \t é\u200b\\u2028' };
    const file = parseConfigFile(findOne(await render({ secretAnnotations: lines }), 'ConfigMap', webhook));
    assert.deepEqual(file['secrets'], { annotations: lines });
  });

  it('install additional objects, as objects or text, with template expressions', async () => {
    const objects = await render({
      extraObjects: [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: '{{ .Release.Name }}-object' } },
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ include "ecr-pull-secrets.fullname" . }}-text\n',
      ],
    });
    const names = objects.filter(({ kind }) => kind === 'ConfigMap').map(({ metadata }) => metadata.name);
    assert.ok(
      names.includes('ecr-pull-secrets-object') && names.includes('ecr-pull-secrets-text'),
      names.join(),
    );
  });

  it('render no pods of `helm test` without a cluster, because other tools would create them', async () => {
    assert.deepEqual(
      (await helm().template()).filter(({ kind }) => kind === 'Pod'),
      [],
    );
  });
});
