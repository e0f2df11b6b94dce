// Tests which objects the chart renders for its values, and the fields that the values set.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { getApiVersions, registry } from './install-modes.ts';
import {
  findOne,
  getNames,
  getValueAt,
  type KubeObject,
  parseConfigFile,
  parseSettings,
} from './rendered-objects.ts';

const kubeVersion = '1.37.0';
const newest = { kubeVersion, apiVersions: getApiVersions(kubeVersion) };
const provisioning = { registries: [registry] };

describeWithHelm('the rendered objects', (helm) => {
  const render = (values: Values = {}) => helm().template(values, newest);
  const container = async (values: Values = {}) =>
    getValueAt(
      findOne(await render(values), 'Deployment', 'ecr-pull-secrets'),
      'spec.template.spec.containers.0',
    );

  /** The names of the fence's match conditions. */
  const fenced = (objects: readonly KubeObject[]) =>
    getValueAt(findOne(objects, 'ValidatingAdmissionPolicy'), 'spec.matchConditions').map((one: unknown) =>
      getValueAt(one, 'name'),
    );
  const base = [
    'ClusterRole/ecr-pull-secrets',
    'ClusterRoleBinding/ecr-pull-secrets',
    'ConfigMap/ecr-pull-secrets',
    'FlowSchema/ecr-pull-secrets',
    'ServiceAccount/ecr-pull-secrets',
    'ValidatingAdmissionPolicy/ecr-pull-secrets-fence',
    'ValidatingAdmissionPolicyBinding/ecr-pull-secrets-fence',
  ];
  const serving = [
    'Deployment/ecr-pull-secrets',
    'Pod/ecr-pull-secrets-test-doctor',
    'Pod/ecr-pull-secrets-test-readyz',
    'PodDisruptionBudget/ecr-pull-secrets',
    'Service/ecr-pull-secrets',
    'Service/ecr-pull-secrets-status',
  ];
  const managed = [
    'ClusterRole/ecr-pull-secrets-certificates',
    'ClusterRoleBinding/ecr-pull-secrets-certificates',
    'Deployment/ecr-pull-secrets-certificates',
    'ServiceAccount/ecr-pull-secrets-certificates',
    'Role/ecr-pull-secrets-tls',
    'RoleBinding/ecr-pull-secrets-tls',
  ];
  const managedByServing = managed.slice(4);
  const hook = 'MutatingWebhookConfiguration/zz-ecr-pull-secrets';
  const policy = [
    'MutatingAdmissionPolicy/zz-ecr-pull-secrets',
    'MutatingAdmissionPolicyBinding/zz-ecr-pull-secrets',
  ];
  const certManager = ['Certificate/ecr-pull-secrets'];
  const ownIssuer = [
    'Certificate/ecr-pull-secrets-ca',
    'Issuer/ecr-pull-secrets-ca',
    'Issuer/ecr-pull-secrets-selfsigned',
  ];
  const cases: [string, Values, string[]][] = [
    ['no values', {}, [...serving, ...managed, hook, ...policy]],
    ['both', { injection: 'both' }, [...serving, ...managed, hook, ...policy]],
    ['webhook', { injection: 'webhook' }, [...serving, ...managed, hook]],
    [
      'one account for reviews and certificates',
      { certificates: { managed: { controller: { enabled: false } } } },
      [...serving, ...managedByServing, hook, ...policy],
    ],
    [
      'cert-manager',
      { certificates: { mode: 'certManager' } },
      [...serving, hook, ...policy, ...certManager, ...ownIssuer],
    ],
    [
      'an issuer of the operator',
      { certificates: { mode: 'certManager', certManager: { issuerRef: { name: 'company' } } } },
      [...serving, hook, ...policy, ...certManager],
    ],
    [
      'an existing certificate',
      { certificates: { mode: 'existingSecret', secretName: 'own', caBundle: 'LS0t' } },
      [...serving, hook, ...policy],
    ],
    ['policy', { injection: 'policy', config: { provisioning } }, [...serving, ...managed, ...policy]],
    ['none', { injection: 'none', config: { provisioning } }, [...serving, ...managed]],
    [
      'a CronJob alone',
      { cronJob: { enabled: true }, config: { provisioning } },
      ['CronJob/ecr-pull-secrets-sync'],
    ],
    [
      'a CronJob and the policy',
      { cronJob: { enabled: true }, injection: 'policy', config: { provisioning } },
      ['CronJob/ecr-pull-secrets-sync', ...policy],
    ],
    [
      'a CronJob beside the Deployment',
      { cronJob: { enabled: true, besideDeployment: true }, config: { provisioning } },
      ['CronJob/ecr-pull-secrets-sync', ...serving, ...managed, hook, ...policy],
    ],
  ];
  for (const [name, values, more] of cases) {
    it(`${name}: exactly these objects`, async () => {
      assert.deepEqual(getNames(await render(values)), [...base, ...more].sort());
    });
  }

  it('have different names for two releases in two namespaces', async () => {
    const one = await helm().template({}, { ...newest, release: 'one', namespace: 'one' });
    const two = await helm().template({}, { ...newest, release: 'two', namespace: 'two' });
    const names = getNames(one);
    assert.deepEqual(
      getNames(two).filter((name) => names.includes(name)),
      [],
    );
  });

  it('have names that are DNS labels, even for a long release name', async () => {
    const values = {
      cronJob: { enabled: true, besideDeployment: true },
      config: { provisioning },
      metrics: { prometheusRule: { enabled: true } },
      networkPolicy: { enabled: true },
    };
    const objects = await helm().template(values, { ...newest, release: 'r'.repeat(53) });
    assert.ok(objects.every(({ metadata }) => metadata.name.length <= 63));
    // The names of Jobs have 11 more characters (ValidateCronJobCreate in kubernetes pkg/apis/batch/validation).
    const { name } = findOne(objects, 'CronJob').metadata;
    assert.ok(name.length <= 52, name);
    const rules = JSON.stringify(findOne(objects, 'PrometheusRule'));
    assert.equal(rules.split(`cronjob=\\"${name}\\"`).length, 3, 'the alert is for this CronJob');
  });

  it('issue a certificate of cert-manager for the host or address in the URL of the webhook, too', async () => {
    const namesFor = async (url: string) => {
      const certificates = { mode: 'certManager' };
      const objects = await render({ injection: 'webhook', certificates, webhook: { url } });
      const { dnsNames, ipAddresses } = getValueAt(
        findOne(objects, 'Certificate', 'ecr-pull-secrets'),
        'spec',
      );
      return [dnsNames.slice(1), ipAddresses];
    };
    assert.deepEqual(await namesFor('https://ecr.example:8443/mutate'), [['ecr.example'], undefined]);
    assert.deepEqual(await namesFor('https://192.0.2.1/mutate'), [[], ['192.0.2.1']]);
    assert.deepEqual(await namesFor('https://[2001:db8::1]:8443/mutate'), [[], ['2001:db8::1']]);
  });

  it('exclude namespaces by pattern, in the webhook, the policy and the program', async () => {
    const objects = await render({ namespaces: { exclude: ['build-*'] } });
    assert.ok(parseSettings(findOne(objects, 'ConfigMap')).exclude.namespaces.includes('build-*'));
    for (const kind of ['MutatingWebhookConfiguration', 'MutatingAdmissionPolicy']) {
      assert.match(JSON.stringify(findOne(objects, kind)), /\^build-\.\*\$/, kind);
    }
  });

  it('have the default ports without the values that an earlier chart did not have', async () => {
    const old = { webhook: { port: null }, networkPolicy: { enabled: true, dnsPorts: null } };
    const certificates = { managed: { dnsNames: null, ipAddresses: null } };
    const objects = await render({ ...old, certificates });
    assert.deepEqual(objects, await render({ networkPolicy: { enabled: true } }));
  });

  it('include two replicas with requests, a memory limit and no CPU limit', async () => {
    const objects = await render();
    assert.equal(getValueAt(findOne(objects, 'Deployment', 'ecr-pull-secrets'), 'spec.replicas'), 2);
    assert.deepEqual((await container()).resources, {
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { memory: '256Mi' },
    });
  });

  it('leave the number of replicas to the autoscaler', async () => {
    const objects = await render({ autoscaling: { enabled: true } });
    assert.equal(getValueAt(findOne(objects, 'Deployment', 'ecr-pull-secrets'), 'spec.replicas'), undefined);
    assert.equal(
      getValueAt(findOne(objects, 'HorizontalPodAutoscaler'), 'spec.scaleTargetRef.name'),
      findOne(objects, 'Deployment', 'ecr-pull-secrets').metadata.name,
    );
  });

  it('start the program with the mounted configuration file', async () => {
    const { args, volumeMounts } = await container();
    assert.deepEqual(args, ['serve', '--config', '/etc/ecr-pull-secrets/config/config.yaml']);
    assert.ok(
      volumeMounts.some(
        (mount: unknown) => getValueAt(mount, 'mountPath') === '/etc/ecr-pull-secrets/config',
      ),
    );
  });

  it('probe the configured status port', async () => {
    const { livenessProbe, readinessProbe, ports } = await container({
      webhook: { port: 9443 },
      config: { status: { port: 9090 } },
    });
    assert.deepEqual(ports, [
      { name: 'webhook', containerPort: 9443 },
      { name: 'status', containerPort: 9090 },
    ]);
    assert.deepEqual(livenessProbe.httpGet, { path: '/healthz', port: 'status' });
    assert.deepEqual(readinessProbe.httpGet, { path: '/readyz', port: 'status' });
  });

  it('have a grace period that covers draining and writes', async () => {
    const grace = async (config: Values, name = 'ecr-pull-secrets') =>
      getValueAt(findOne(await render({ config }), 'Deployment', name), 'spec.template.spec')
        .terminationGracePeriodSeconds;
    assert.equal(await grace({}), 70);
    const webhook = { shutdownDelay: '1500ms', drainTimeout: '2m' };
    assert.equal(await grace({ webhook, kubernetes: { writeTimeout: '1m' } }), 187);
    assert.equal(await grace({}, 'ecr-pull-secrets-certificates'), 50);
    assert.equal(await grace({ kubernetes: { writeTimeout: '1m' } }, 'ecr-pull-secrets-certificates'), 70);
  });

  it('restart the pods when a setting changes, and not otherwise', async () => {
    const annotations = async (values: Values) =>
      getValueAt(
        findOne(await render(values), 'Deployment', 'ecr-pull-secrets'),
        'spec.template.metadata.annotations',
      );
    assert.deepEqual(await annotations({ replicaCount: 3 }), await annotations({}));
    assert.notDeepEqual(await annotations({ config: { log: { level: 'debug' } } }), await annotations({}));
  });

  it('pass on the settings, with the namespaces that are always excluded from admission', async () => {
    const settings = parseSettings(
      findOne(
        await render({
          config: {
            log: { level: 'warn' },
            exclude: { namespaces: ['lab-*'], admissionNamespaces: ['infra'], accounts: ['111111111111'] },
          },
          namespaces: { exclude: ['monitoring'] },
        }),
        'ConfigMap',
      ),
    );
    assert.equal(settings.log.level, 'warn');
    assert.deepEqual(settings.exclude, {
      namespaces: ['monitoring', 'lab-*'],
      admissionNamespaces: ['kube-system', 'ecr-pull-secrets', 'infra'],
      accounts: ['111111111111'],
    });
  });

  it('configure the program to manage certificates', async () => {
    const objects = await render({
      fullnameOverride: 'pulls',
      certificates: { managed: { leafLife: '24h' } },
    });
    assert.deepEqual(parseConfigFile(findOne(objects, 'ConfigMap'))['certificates'], {
      source: 'files',
      secretName: 'pulls-tls',
      service: 'pulls',
      webhookConfiguration: findOne(objects, 'MutatingWebhookConfiguration').metadata.name,
      dnsNames: [],
      ipAddresses: [],
      authorityLife: '8760h',
      leafLife: '24h',
    });
    assert.deepEqual(getValueAt(findOne(objects, 'Role'), 'rules.0.resourceNames'), ['pulls-tls']);
  });

  it('use one ServiceAccount for the webhook and certificates if configured', async () => {
    const objects = await render({ certificates: { managed: { controller: { enabled: false } } } });
    assert.equal(parseSettings(findOne(objects, 'ConfigMap')).certificates.source, 'managed');
    assert.equal(getValueAt(findOne(objects, 'RoleBinding'), 'subjects.0.name'), 'ecr-pull-secrets');
    const { volumes } = getValueAt(findOne(objects, 'Deployment'), 'spec.template.spec');
    assert.ok(volumes.every((volume: unknown) => getValueAt(volume, 'name') !== 'tls'));
    assert.deepEqual(fenced(objects), ['request-of-the-webhook', 'not-the-serving-certificate']);
    assert.deepEqual(fenced(await render()), ['request-of-the-webhook']);
  });

  it('manage certificates with a separate ServiceAccount, without AWS credentials and open ports', async () => {
    const objects = await render({
      extraEnv: [{ name: 'AWS_ACCESS_KEY_ID', value: 'x' }],
      aws: { credentials: { source: 'secret', secret: { name: 'keys' } } },
    });
    const controller = findOne(objects, 'Deployment', 'ecr-pull-secrets-certificates');
    const { serviceAccountName, containers, volumes } = getValueAt(controller, 'spec.template.spec');
    const [{ args, env, envFrom, ports }] = containers;
    assert.equal(serviceAccountName, 'ecr-pull-secrets-certificates');
    assert.deepEqual(args, ['certificates', '--config', '/etc/ecr-pull-secrets/config/config.yaml']);
    assert.deepEqual([env, envFrom], [undefined, undefined]);
    assert.deepEqual(ports, [{ name: 'status', containerPort: 8080 }]);
    assert.deepEqual(
      volumes.map((volume: unknown) => getValueAt(volume, 'name')),
      ['config'],
    );
    for (const kind of ['RoleBinding', 'ClusterRoleBinding']) {
      const [subject] = getValueAt(
        findOne(objects, kind, `ecr-pull-secrets-${kind === 'RoleBinding' ? 'tls' : 'certificates'}`),
        'subjects',
      );
      assert.equal(subject.name, 'ecr-pull-secrets-certificates');
    }
  });

  it('mount the certificate where the program reads it, and never the key of a CA', async () => {
    const own = { mode: 'existingSecret', secretName: 'own', caBundle: 'LS0t' };
    for (const certificates of [{}, { mode: 'certManager' }, own]) {
      const objects = await render({ certificates });
      const { containers, volumes } = getValueAt(
        findOne(objects, 'Deployment', 'ecr-pull-secrets'),
        'spec.template.spec',
      );
      const { secret } = volumes.find((volume: unknown) => getValueAt(volume, 'name') === 'tls');
      assert.deepEqual(
        secret.items.map((item: unknown) => getValueAt(item, 'key')),
        ['tls.crt', 'tls.key'],
      );
      const { mountPath } = containers[0].volumeMounts.find(
        (mount: unknown) => getValueAt(mount, 'name') === 'tls',
      );
      const { certFile, keyFile } = parseSettings(findOne(objects, 'ConfigMap')).webhook;
      assert.deepEqual([certFile, keyFile], [`${mountPath}/tls.crt`, `${mountPath}/tls.key`]);
    }
  });

  for (const [kind, source] of [
    ['configMap', { configMapName: 'client-ca' }],
    ['secret', { secretName: 'client-ca' }],
  ] as const) {
    it(`mount the CA of client certificates from a ${kind} at the configured path`, async () => {
      const allowedNames = ['kube-apiserver'];
      const clientAuth = { enabled: true, key: 'root.pem', allowedNames, ...source };
      const objects = await render({ webhook: { clientAuth, port: 9443 } });
      const { containers, volumes } = getValueAt(
        findOne(objects, 'Deployment', 'ecr-pull-secrets'),
        'spec.template.spec',
      );
      const { mountPath } = containers[0].volumeMounts.find(
        (mount: unknown) => getValueAt(mount, 'name') === 'client-ca',
      );
      const volume = volumes.find((one: unknown) => getValueAt(one, 'name') === 'client-ca')[kind];
      assert.equal(volume.name ?? volume.secretName, 'client-ca');
      assert.deepEqual(volume.items, [{ key: 'root.pem', path: 'root.pem' }]);
      assert.deepEqual(parseConfigFile(findOne(objects, 'ConfigMap'))['webhook'], {
        port: 9443,
        clientAuth: { caFile: `${mountPath}/root.pem`, allowedNames },
      });
    });
  }

  it('allow ingress to the webhook only from the configured peers', async () => {
    const agent = { podSelector: { matchLabels: { 'k8s-app': 'konnectivity-agent' } } };
    const networkPolicy = { enabled: true, apiServerCidrs: ['10.0.0.0/28'], webhookFrom: [agent] };
    const objects = await render({
      networkPolicy,
      cronJob: { enabled: true, besideDeployment: true },
      config: { provisioning },
    });
    const { ingress, podSelector } = getValueAt(
      findOne(objects, 'NetworkPolicy', 'ecr-pull-secrets'),
      'spec',
    );
    assert.deepEqual(ingress[0], {
      ports: [{ port: 8443, protocol: 'TCP' }],
      from: [{ ipBlock: { cidr: '10.0.0.0/28' } }, agent],
    });
    assert.equal(podSelector.matchLabels['app.kubernetes.io/component'], 'webhook');
    const controller = getValueAt(findOne(objects, 'NetworkPolicy', 'ecr-pull-secrets-certificates'), 'spec');
    assert.deepEqual(controller.ingress, [{ ports: [{ port: 8080, protocol: 'TCP' }] }]);
    const reached = controller.egress.flatMap(({ ports }: { ports: { port: number }[] }) => ports);
    assert.deepEqual(
      reached.map(({ port }: { port: number }) => port),
      [53, 53, 443, 6443],
    );
    const sync = getValueAt(findOne(objects, 'NetworkPolicy', 'ecr-pull-secrets-sync'), 'spec');
    assert.deepEqual([sync.policyTypes, sync.ingress], [['Ingress', 'Egress'], undefined]);
  });

  it('schedule sync', async () => {
    const job = findOne(await render({ cronJob: { enabled: true }, config: { provisioning } }), 'CronJob');
    const spec = getValueAt(job, 'spec.jobTemplate.spec.template.spec');
    assert.deepEqual(spec.containers[0].args, [
      'sync',
      '--config',
      '/etc/ecr-pull-secrets/config/config.yaml',
    ]);
    assert.equal(spec.serviceAccountName, 'ecr-pull-secrets');
    assert.equal(getValueAt(job, 'spec.concurrencyPolicy'), 'Forbid');
  });
});
