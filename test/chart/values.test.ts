// Tests of values.yaml, values.schema.json and the checks of values.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import { configSchema } from '../../src/config/schema.ts';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { chartReadme } from './readme.ts';
import { findOne, getValueAt, parseSettings } from './rendered-objects.ts';

const file = (name: string) => readFile(join(chartFolder, name), 'utf8');

/** Settings of the program that the chart derives. */
const derivedSettings = [
  'webhook.address',
  'webhook.port',
  'webhook.certFile',
  'webhook.keyFile',
  'webhook.clientAuth.caFile',
  'webhook.clientAuth.allowedNames',
  'status.address',
  'kubernetes.kubeconfig',
  'catchUp.namespaces.selector',
  'secrets.labels',
  'secrets.annotations',
];

/** Values with one host in `config.hosts`. */
function withHost(host: string, more: object = {}, exclude: object = {}): Values {
  const mapping = { account: '123456789012', region: 'eu-central-1', ...more };
  return { config: { hosts: { [host]: mapping }, exclude } };
}

describe('values.yaml', () => {
  it('matches the table in README.md (npm run chart:readme updates it)', async () => {
    const expected = chartReadme(await file('README.md.gotmpl'), await file('values.yaml'));
    assert.equal(await file('README.md'), expected);
  });

  it('describes every value', async () => {
    const undescribed = (await file('README.md')).split('\n').filter((line) => /^\|.*\|\s+\|$/.test(line));
    assert.deepEqual(undescribed, []);
  });

  it('contains every value of the schema', async () => {
    const known = keysOf(JSON.parse(await file('values.schema.json')));
    const open = (key: string) => /^(global|config|nodeSelector)(\.|$)/.test(key);
    const values = leaves(parse(await file('values.yaml')));
    assert.deepEqual(
      known.filter(
        (key) =>
          !open(key) &&
          !values.some((one) => one === key || one.startsWith(`${key}.`) || key.startsWith(`${one}.`)),
      ),
      [],
      'in the schema only',
    );
  });

  it('accepts every setting of the program except those that the chart derives', async () => {
    const config = JSON.parse(await file('values.schema.json')).properties.config;
    const settings = settingKeys(configSchema);
    const accepted = settings.filter(
      (key) => !derivedSettings.includes(key) && !key.startsWith('certificates'),
    );
    assert.deepEqual(keysOf(config).sort(), accepted.sort());
  });
});

describeWithHelm('invalid values', (helm) => {
  const refusal = async (values: Values): Promise<string> => {
    const { code, stderr } = await helm().run(['template', 'x', chartFolder], values);
    assert.notEqual(code, 0, 'Helm accepted the values');
    return stderr;
  };
  const roleArn = 'arn:aws:iam::123456789012:role/x';
  const cases: [string, Values, RegExp][] = [
    ['an unknown value', { replicaCounts: 3 }, /at '': additional properties 'replicaCounts' not allowed/],
    ['text instead of a number', { replicaCount: 'three' }, /at '\/replicaCount': got string, want integer/],
    [
      'an unknown setting',
      { config: { secretname: 'x' } },
      /at '\/config': additional properties 'secretname'/,
    ],
    [
      'a setting that the chart derives',
      { config: { webhook: { certFile: '/x' } } },
      /'\/config\/webhook': .*'certFile' not/,
    ],
    [
      'an unknown log level',
      { config: { log: { level: 'loud' } } },
      /level': value must be one of 'error', 'warn'/,
    ],
    [
      'a duration without unit',
      { config: { tokens: { minimumLife: '60' } } },
      /minimumLife': '60' does not match/,
    ],
    [
      'a duration below its minimum',
      { config: { secrets: { forgetAfter: '59s' } } },
      /forgetAfter': '59s' does not match/,
    ],
    [
      'an account without quotes',
      { config: { exclude: { accounts: [123456789012] } } },
      /at '\/config\/exclude\/accounts\/0': got number, want string/,
    ],
    [
      'a rule without an identity',
      { config: { registries: [{}] } },
      /registries\/0': missing property 'access'/,
    ],
    [
      'a NetworkPolicy that would allow all connections',
      { networkPolicy: { enabled: true, apiServerPorts: [] } },
      /apiServerPorts': minItems: got 0, want 1/,
    ],
    [
      'a name of a certificate that is none',
      { certificates: { managed: { dnsNames: ['a b'] } } },
      /dnsNames\/0': 'a b' does not match/,
    ],
    [
      'an address of a certificate that is none',
      { certificates: { managed: { ipAddresses: ['ecr'] } } },
      /ipAddresses\/0': 'ecr' does not match/,
    ],
    [
      'a selector that the program would refuse, also without the fence',
      {
        fence: { enabled: false },
        config: { provisioning: { registries: [registry], namespaces: { selector: 'a in (b' } } },
      },
      /config\.provisioning\.namespaces\.selector: "a in \(b" is not a valid requirement/,
    ],
    [
      'a name that is none of a Service',
      { fullnameOverride: '1abc' },
      /1abc, the name of the objects, is not a valid name of a Service; set fullnameOverride/,
    ],
    ['a name that is no label', { nameOverride: '-x' }, /nameOverride: -x is not a valid value of a label/],
    [
      'fewer replicas at most than at least',
      { autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 2 } },
      /autoscaling\.maxReplicas is less than autoscaling\.minReplicas/,
    ],
    [
      'an unknown mode',
      { injection: 'magic' },
      /injection': value must be one of 'auto', 'webhook', 'policy', 'both', 'none'/,
    ],
    [
      'a host that is not an ECR host',
      { config: { provisioning: { registries: ['docker.io'] } } },
      /registries contains docker\.io, which is neither an ECR host/,
    ],
    [
      'a host name of an ECR host that is none',
      { config: { provisioning: { registries: ['registry.example.com'] } } },
      /registries contains registry\.example\.com, which is neither an ECR host such as \S+ nor a key of config\.hosts/,
    ],
    [
      'the public registry without its setting',
      { config: { provisioning: { registries: ['public.ecr.aws'] } } },
      /registries contains public\.ecr\.aws, which needs config\.publicRegistry: true/,
    ],
    ['a host without a dot or port', withHost('registry'), /invalid propertyName 'registry'/],
    ['Docker Hub as a host', withHost('docker.io'), /config\.hosts contains docker\.io, which is Docker Hub/],
    [
      'a host in upper case',
      withHost('Registry.example.com'),
      /invalid propertyName 'Registry\.example\.com'/,
    ],
    ['a host of 129 characters', withHost(`${'a'.repeat(117)}.example.com`), /maxLength: got 129/],
    [
      'a port above 65535',
      withHost('registry.example.com:65536'),
      /'registry\.example\.com:65536' does not match/,
    ],
    [
      'a host without an account',
      { config: { hosts: { 'registry.example.com': { region: 'eu-west-1' } } } },
      /missing property 'account'/,
    ],
    [
      'an endpoint without a scheme',
      withHost('registry.example.com', { endpoint: 'localhost:4566' }),
      /endpoint': 'localhost:4566' does not match/,
    ],
    [
      'an endpoint with a password',
      withHost('registry.example.com', { endpoint: 'https://a:b@example.com' }),
      /endpoint': .+ does not match/,
    ],
    [
      'a host of an excluded account',
      withHost('registry.example.com', {}, { accounts: ['1234*'] }),
      /config\.hosts contains registry\.example\.com in account 123456789012, which config\.exclude\.accounts excludes/,
    ],
    [
      'the public registry as a host',
      withHost('public.ecr.aws'),
      /config\.hosts contains public\.ecr\.aws, the public registry, .+ set config\.publicRegistry: true instead/,
    ],
    ['an ECR host without an endpoint', withHost(registry), /has no effect without endpoint/],
    [
      'an ECR host of another region',
      withHost(registry, { region: 'eu-west-1', endpoint: 'https://example.com' }),
      /with account 123456789012 and region eu-west-1, but the name says others/,
    ],
    [
      'a policy without registries',
      { injection: 'policy' },
      /injection: policy does not create Secrets; set config\.provisioning\.registries to the ECR hosts/,
    ],
    [
      'webhook and policy without a Deployment',
      { injection: 'both', cronJob: { enabled: true }, config: { provisioning: { registries: [registry] } } },
      /injection: both needs the Deployment.*set cronJob\.besideDeployment, or use injection: policy/,
    ],
    [
      'an unknown selection of pods',
      { webhook: { match: 'somePods' } },
      /webhook\/match': value must be one of 'ecrImages', 'allPods'/,
    ],
    [
      'a CronJob without registries',
      { cronJob: { enabled: true } },
      /cronJob\.enabled needs registries to provision; set config\.provisioning\.registries/,
    ],
    [
      'an existing certificate without a Secret',
      { certificates: { mode: 'existingSecret' } },
      /existingSecret needs certificates\.secretName; set it to the Secret with tls\.crt/,
    ],
    [
      'an existing certificate without a CA',
      { certificates: { mode: 'existingSecret', secretName: 'own' } },
      /existingSecret needs certificates\.caBundle; set it to the CA/,
    ],
    [
      'access keys without a Secret',
      { aws: { credentials: { source: 'secret' } } },
      /secret needs aws\.credentials\.secret\.name/,
    ],
    [
      'web identity without a role',
      { aws: { credentials: { source: 'webIdentity' } } },
      /webIdentity needs .*webIdentity\.roleArn/,
    ],
    [
      'Roles Anywhere without a certificate',
      { aws: { credentials: { source: 'rolesAnywhere', rolesAnywhere: { roleArn } } } },
      /rolesAnywhere needs aws\.credentials\.rolesAnywhere\.certificateSecret/,
    ],
    [
      'no name for an existing ServiceAccount',
      { serviceAccount: { create: false } },
      /serviceAccount\.create: false needs serviceAccount\.name/,
    ],
    // Values that the chart inserts into the fence's expressions.
    ...[`x' || true || '`, 'x"] || true || "" in ["', 'a b', 'team\nx', '$(x)', '{{ .Values }}'].flatMap(
      (hostile): [string, Values, RegExp][] => [
        [`the label ${hostile}`, { namespaces: { label: hostile } }, /at '\/namespaces\/label'/],
        [`the name ${hostile}`, { namespaces: { exclude: [hostile] } }, /at '\/namespaces\/exclude\/0'/],
        [
          `the pattern ${hostile}`,
          { config: { exclude: { namespaces: [hostile] } } },
          /at '\/config\/exclude\/namespaces\/0'/,
        ],
        [
          `a label's key ${hostile}`,
          { namespaces: { selector: { matchLabels: { [hostile]: 'x' } } } },
          /at '\/namespaces\/selector\/matchLabels'/,
        ],
        [
          `a label's value ${hostile}`,
          {
            namespaces: { selector: { matchExpressions: [{ key: 'a', operator: 'In', values: [hostile] }] } },
          },
          /at '\/namespaces\/selector\/matchExpressions\/0\/values\/0'/,
        ],
        [
          `the selector ${hostile}`,
          { config: { provisioning: { registries: [registry], namespaces: { selector: hostile } } } },
          /config[/.]provisioning[/.]namespaces[/.]selector/,
        ],
        [`the account ${hostile}`, { serviceAccount: { name: hostile } }, /at '\/serviceAccount\/name'/],
        [`the key ${hostile}`, { fence: { allowedKeys: [hostile] } }, /at '\/fence\/allowedKeys\/0'/],
        [`the Secret ${hostile}`, { certificates: { secretName: hostile } }, /'\/certificates\/secretName'/],
      ],
    ),
    ...['a=b=c', ',a', 'a,', 'a in b', 'a in ()', 'a in (b', '!a=b', 'a!', 'a==!b'].map(
      (selector): [string, Values, RegExp] => [
        `the selector ${selector}`,
        { config: { provisioning: { registries: [registry], namespaces: { selector } } } },
        /config\.provisioning\.namespaces\.selector: ".*" is not a valid requirement of a label selector/,
      ],
    ),
    [
      'one Secret for certificate and tokens',
      { certificates: { secretName: 'ecr-pull-secrets' } },
      /certificates\.secretName must not equal config\.secretName/,
    ],
    [
      'one name for both ServiceAccounts',
      { certificates: { managed: { controller: { serviceAccount: { name: 'x-ecr-pull-secrets' } } } } },
      /controller\.serviceAccount\.name must not be the webhook's ServiceAccount/,
    ],
    [
      'no name for the existing ServiceAccount of the certificate controller',
      { certificates: { managed: { controller: { serviceAccount: { create: false } } } } },
      /serviceAccount\.create: false needs certificates\.managed\.controller\.serviceAccount\.name/,
    ],
    [
      'client certificates without names',
      { webhook: { clientAuth: { enabled: true, configMapName: 'ca' } } },
      /webhook\.clientAuth\.enabled needs webhook\.clientAuth\.allowedNames/,
    ],
    [
      'client certificates without a CA',
      { webhook: { clientAuth: { enabled: true, allowedNames: ['kube-apiserver'] } } },
      /needs webhook\.clientAuth\.secretName or webhook\.clientAuth\.configMapName; set exactly one/,
    ],
    [
      'an alert that does not exist',
      { metrics: { prometheusRule: { disabled: ['EcrPullSecretsDwon'] } } },
      /at '\/metrics\/prometheusRule\/disabled\/0': value must be one of 'EcrPullSecretsDown'/,
    ],
    [
      'an alert label that the chart sets',
      { metrics: { prometheusRule: { alertLabels: { severity: 'page' } } } },
      /at '\/metrics\/prometheusRule\/alertLabels\/severity'/,
    ],
    ...['job', 'job=x', 'job="x"}', 'job="x",', '{job="x"}', 'job="x" or up', 'job="\\""'].map(
      (selector): [string, Values, RegExp] => [
        `the selector of metrics ${selector}`,
        { metrics: { prometheusRule: { selector } } },
        /at '\/metrics\/prometheusRule\/selector'/,
      ],
    ),
    [
      'a runbook address with an anchor',
      { metrics: { prometheusRule: { runbookUrl: 'https://wiki.example/runbooks#x' } } },
      /at '\/metrics\/prometheusRule\/runbookUrl'/,
    ],
    [
      'an operator without values',
      { namespaces: { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } } },
      /missing property 'values'/,
    ],
    [
      'an unknown operator',
      { namespaces: { selector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } } },
      /operator': value must be one of 'In', 'NotIn', 'Exists', 'DoesNotExist'/,
    ],
  ];
  const provisioned = (names: string[], exclude: object) => ({
    config: { provisioning: { registries: [registry], namespaces: { names } }, exclude },
  });
  const contradictions: [string, Values, RegExp][] = [
    [
      'a namespace that the settings exclude',
      provisioned(['kube-system'], { namespaces: ['kube-system'] }),
      /config\.provisioning\.namespaces\.names contains kube-system, which config\.exclude\.namespaces excludes/,
    ],
    [
      'a namespace that the chart excludes',
      { ...provisioned(['shop', 'team-1'], {}), namespaces: { exclude: ['team-1'] } },
      /names contains team-1, which namespaces\.exclude excludes/,
    ],
    [
      'namespaces that a pattern excludes',
      provisioned(['lab-*'], { namespaces: ['lab*'] }),
      /names contains lab-\*, which config\.exclude\.namespaces excludes/,
    ],
    [
      'a pattern of namespaces that are excluded from admission',
      provisioned(['kube-*'], { admissionNamespaces: ['kube-*'] }),
      /names contains kube-\*, which config\.exclude\.admissionNamespaces excludes/,
    ],
    [
      'a registry of an excluded account',
      provisioned([], { accounts: ['1234*'] }),
      /config\.provisioning\.registries contains 123456789012\..*, whose account config\.exclude\.accounts excludes/,
    ],
  ];
  const provisioning = { registries: [registry] };
  const alone = { cronJob: { enabled: true }, config: { provisioning } };
  const unused: [Values, string][] = [
    [{ injection: 'none', webhook: { url: 'https://x' } }, 'webhook.url'],
    [{ ...alone, webhook: { url: 'https://x' } }, 'webhook.url'],
    [{ injection: 'none', config: { onFailure: 'deny' } }, 'config.onFailure'],
    [{ injection: 'none', webhook: { failurePolicy: 'Fail' } }, 'webhook.failurePolicy'],
    [{ injection: 'none', webhook: { match: 'allPods' } }, 'webhook.match'],
    [{ ...alone, webhook: { match: 'allPods' } }, 'webhook.match'],
    [{ injection: 'none', namespaces: { select: 'optIn' } }, 'namespaces.select'],
    [{ ...alone, namespaces: { selector: { matchLabels: { a: 'b' } } } }, 'namespaces.selector.matchLabels'],
    [{ ...alone, autoscaling: { enabled: true } }, 'autoscaling.enabled'],
    [{ ...alone, metrics: { podMonitor: { enabled: true } } }, 'metrics.podMonitor.enabled'],
    [{ ...alone, metrics: { dashboard: { enabled: true } } }, 'metrics.dashboard.enabled'],
    [
      { config: { provisioning: { namespaces: { names: ['shop'] } } } },
      'config.provisioning.namespaces.names',
    ],
    [{ config: { provisioning: { serviceAccounts: ['*'] } } }, 'config.provisioning.serviceAccounts'],
    [{ certificates: { caBundle: 'LS0t' } }, 'certificates.caBundle'],
    [{ certificates: { certManager: { issuerRef: { name: 'x' } } } }, 'certificates.certManager.issuerRef'],
    [
      { certificates: { mode: 'certManager', managed: { dnsNames: ['x'] } } },
      'certificates.managed.dnsNames',
    ],
    [
      { certificates: { managed: { controller: { enabled: false, serviceAccount: { name: 'x' } } } } },
      'certificates.managed.controller.serviceAccount.name',
    ],
    [{ aws: { credentials: { secret: { name: 'aws' } } } }, 'aws.credentials.secret.name'],
    [
      { aws: { credentials: { source: 'secret', secret: { name: 'aws' }, webIdentity: { roleArn } } } },
      'aws.credentials.webIdentity.roleArn',
    ],
    [
      { aws: { credentials: { rolesAnywhere: { certificateSecret: 'x' } } } },
      'aws.credentials.rolesAnywhere.certificateSecret',
    ],
    [{ serviceAccount: { create: false, name: 'x', annotations: { a: 'b' } } }, 'serviceAccount.annotations'],
    [{ webhook: { clientAuth: { allowedNames: ['x'] } } }, 'webhook.clientAuth.allowedNames'],
    [{ networkPolicy: { apiServerCidrs: ['10.0.0.0/8'] } }, 'networkPolicy.apiServerCidrs'],
    [{ enabled: false }, 'enabled'],
    [{ cronJob: { besideDeployment: true } }, 'cronJob.besideDeployment'],
  ];
  for (const [values, path] of unused) {
    it(`${path}: refused if it has no effect (${JSON.stringify(values)})`, async () => {
      assert.match(
        await refusal(values),
        new RegExp(`${path.replaceAll('.', '[.]')}.* has no effect without `),
      );
    });
  }

  it('refuses characters with which a part of the manifests would be empty or another text', async () => {
    for (const character of '\u007f\u0080\u0085\u009f\u2028\u2029\ufffe\uffff') {
      const roleArn = 'arn:aws:iam::123456789012:role/x';
      const values = { config: { registries: [{ roleArn, sessionPolicy: `{"a":"${character}"}` }] } };
      assert.match(await refusal(values), /config contains a character that YAML cannot hold/);
      assert.match(
        await refusal({ commonAnnotations: { x: `\\${character}` } }),
        /commonAnnotations contains a character that YAML cannot hold/,
      );
    }
  });

  it('accepts details of a disabled feature, because shared values files contain them', async () => {
    const labels = { release: 'prometheus' };
    await helm().template({
      fence: { enabled: false, allowedKeys: ['x'] },
      metrics: {
        serviceMonitor: { enabled: false, labels },
        podMonitor: { labels },
        prometheusRule: { labels, disabled: ['EcrPullSecretsDown'], alertLabels: { team: 'platform' } },
        dashboard: { namespace: 'monitoring', annotations: { grafana_folder: 'x' } },
      },
      cronJob: { enabled: false, timeZone: 'Europe/Berlin', suspend: true },
    });
  });

  it('accepts groups without values, in which every line is a comment', async () => {
    const plain = await helm().template();
    assert.deepEqual(await helm().template({ config: null, namespaces: { selector: null } }), plain);
  });

  it('renders without each value, or names the value that is missing', async () => {
    const problems: string[] = [];
    for (const path of allPaths(parse(await file('values.yaml')))) {
      const values = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), null) as Values;
      const { code, stderr } = await helm().run(['template', 'x', chartFolder], values);
      if (code !== 0 && !stderr.includes(`missing property '${path.at(-1)}'`)) {
        problems.push(`${path.join('.')}: ${stderr}`);
      }
    }
    assert.deepEqual(problems, []);
  });

  for (const [name, values, expected] of [...cases, ...contradictions]) {
    it(`${JSON.stringify(name)}: refused with a message that names the value`, async () => {
      assert.match(await refusal(values), expected);
    });
  }

  it('accepts every host that the program accepts, and passes it on', async () => {
    const own = { account: '123456789012', region: 'us-gov-west-1' };
    const hosts = {
      'registry.example.com': own,
      'registry.example.com:5000': { ...own, endpoint: 'https://api.example.com/path' },
      'localhost:4566': { ...own, endpoint: 'http://localstack.example:4566' },
      '10.1.2.3:5000': own,
      'registry:65535': own,
      [`${registry}.proxy.example.com`]: own,
      [`${'a'.repeat(116)}.example.com`]: own,
      [registry]: { account: '123456789012', region: 'eu-central-1', endpoint: 'https://vpce.example.com' },
    };
    const provisioning = { registries: ['registry.example.com:5000', 'ecr-public.aws.com'] };
    const config = { hosts, publicRegistry: true, provisioning };
    const settings = parseSettings(findOne(await helm().template({ config }), 'ConfigMap'));
    assert.deepEqual([settings.hosts, settings.publicRegistry], [hosts, true]);
    assert.deepEqual(settings.provisioning.registries, provisioning.registries);
  });

  it('accepts the default of every setting, and the program reads the same values', async () => {
    const config = {
      secretName: 'ecr-pull-secrets',
      onFailure: 'admit',
      exclude: {
        namespaces: ['lab-*'],
        admissionNamespaces: ['kube-public'],
        accounts: ['210987654321', '21*'],
      },
      registries: [
        {
          accounts: ['*'],
          regions: ['eu-*'],
          roleArn,
          externalId: 'id',
          sessionName: 'me',
          sessionPolicy: '{}',
        },
      ],
      tokens: {
        freshFraction: 0.5,
        minimumLife: '1h',
        requestTimeout: '10s',
        connectTimeout: '3s',
        maxRegions: 64,
      },
      hosts: {},
      publicRegistry: false,
      secrets: { maxHosts: 200, forgetAfter: '24h' },
      renewal: { writesPerSecond: 10, concurrency: 8, events: true },
      provisioning: {
        registries: [registry],
        namespaces: { names: ['a-*'], selector: 'a=b' },
        serviceAccounts: ['default'],
      },
      catchUp: { enabled: true, interval: '5m', minimumAge: '30s', evict: false },
      webhook: {
        maxConnections: 600,
        deadlineMargin: '500ms',
        shutdownDelay: '5s',
        drainTimeout: '20s',
      },
      status: { port: 8080 },
      kubernetes: { requestTimeout: '10s', writeTimeout: '40s' },
      log: { level: 'info' },
    };
    const settings = parseSettings(findOne(await helm().template({ config }), 'ConfigMap'));
    const { exclude, registries, provisioning, catchUp, ...rest } = readConfig('', 'the defaults');
    for (const [key, value] of Object.entries(rest)) {
      if (key !== 'certificates') {
        assert.deepEqual(getValueAt(settings, key), value, key);
      }
    }
    assert.equal(settings.registries[0]?.roleArn, roleArn);
    assert.deepEqual(settings.provisioning, config.provisioning);
    assert.deepEqual({ ...settings.catchUp, namespaces: catchUp.namespaces }, catchUp);
    assert.deepEqual(settings.exclude.accounts, config.exclude.accounts);
  });
});

/** The paths (`a.b.c`) of all leaf values in a JSON schema. */
function keysOf(known: unknown, path = ''): string[] {
  const item = getValueAt(known, 'items') ?? known;
  const properties: Record<string, unknown> = getValueAt(item, 'properties') ?? {};
  const keys = Object.entries(properties);
  if (keys.length === 0) {
    return path === '' ? [] : [path];
  }
  return keys.flatMap(([key, inner]) => keysOf(inner, path === '' ? key : `${path}.${key}`));
}

/** The paths of all settings of the program. */
function settingKeys(known: unknown, path = ''): string[] {
  const inner = getValueAt(known, 'wrapped') ?? getValueAt(known, 'item');
  if (inner !== undefined) {
    return settingKeys(inner, path);
  }
  const entries: Record<string, unknown> = getValueAt(known, 'entries') ?? {};
  const keys = Object.entries(entries);
  if (keys.length === 0) {
    return path === '' ? [] : [path];
  }
  return keys.flatMap(([key, one]) => settingKeys(one, path === '' ? key : `${path}.${key}`));
}

/** The paths of all leaf values in values.yaml. */
function leaves(value: unknown, path = ''): string[] {
  if (
    typeof value !== 'object' ||
    value === null ||
    Array.isArray(value) ||
    Object.keys(value).length === 0
  ) {
    return [path];
  }
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`));
}

/** The paths of all maps and leaf values in values.yaml. */
function allPaths(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [];
  }
  return Object.entries(value).flatMap(([key, inner]) => [
    [...path, key],
    ...allPaths(inner, [...path, key]),
  ]);
}
