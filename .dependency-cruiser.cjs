/**
 * The dependency direction between the packages of src/ (docs/explanation/architecture.md). Each rule names what it forbids and why.
 * @type {import('dependency-cruiser').IConfiguration}
 */

// Files that take everything, the time too, as arguments: no I/O, no clock, no logger, no node: module.
const pure = [
  '^src/labels[.]ts$',
  '^src/ecr/(registry|ecr-host|host-name|partitions|pod-images|image-reference|look-alike|registry-error|token|token-policy|token-error|error-catalog|identity|identity-facts|identity-rules|placeholders|unresolved-failure)[.]ts$',
  '^src/pull-secrets/(docker-config|hosts-annotation|merge|droppable-hosts|host-needs|token-expirations|missing-hosts|unconfigured-hosts|unstored-hosts)[.]ts$',
  '^src/renewal/(plan-types|renewal-plan|unstored-plan|renewal-attempts|failure-reports|forget-policy)[.]ts$',
  '^src/provisioning/(provisioning-plan|provisioning-settings|action-backoff)[.]ts$',
  '^src/commands/(report-text|doctor-report|doctor-style|terminal-style)[.]ts$',
  '^src/certificates/(certificate-policy|certificate-state)[.]ts$',
  '^src/injection/(decision|patch)[.]ts$',
  '^src/webhook/(admission-request|admission-response|warnings|json-scan)[.]ts$',
  '^src/catch-up/(pod-findings|eviction-policy)[.]ts$',
  '^src/diagnosis/(chain|aws-targets|aws-connection-results|aws-identity-results|injection-results|manifest-results|secret-results|check|report-timeline|check-text|host-identity|manifest-pods|pod-explanation|pull-causes|pull-failures|secret-states|status-rows|token-checks|token-errors|changed-settings|program-rights|caller-rights|api-server-judgments|webhook-facts|webhook-judgments|namespace-judgment|network-policies|endpoint-judgments|dry-run-image|dry-run-judgment)[.]ts$',
  '^src/config/(contradictions|host-contradictions|rule-contradictions)[.]ts$',
  '^src/util/(backoff|glob|hash|json|json-members|label-selector|selector-object)[.]ts$',
];

const mayImport = (name, packages) => ({
  name: `imports-of-${name}`,
  comment: `src/${name} may import only: util, labels.ts, ${[name, ...packages].join(', ')}`,
  severity: 'error',
  from: { path: `^src/${name}/` },
  to: {
    path: '^src/',
    pathNot: `^src/(${[name, ...packages].map((folder) => `${folder}/`).join('|')}|util/|labels[.]ts$)`,
  },
});

const onlyIn = (name, path, from) => ({
  name,
  severity: 'error',
  from: { path: '^src/', pathNot: from },
  to: { path },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'nothing-imports-main', severity: 'error', from: {}, to: { path: '^src/main[.]ts$' } },
    mayImport('util', []),
    mayImport('config', ['ecr']),
    mayImport('telemetry', ['config']),
    mayImport('kube', ['telemetry', 'config']),
    mayImport('ecr', ['telemetry', 'config']),
    mayImport('pull-secrets', ['ecr', 'kube', 'telemetry', 'config']),
    mayImport('renewal', ['pull-secrets', 'ecr', 'kube', 'telemetry', 'config']),
    mayImport('provisioning', ['pull-secrets', 'ecr', 'kube', 'telemetry', 'config']),
    mayImport('certificates', ['kube', 'telemetry', 'config']),
    onlyIn('only-cli-imports-commands', '^src/commands/', '^src/(cli[.]ts|commands/)'),
    mayImport('injection', ['ecr', 'config']),
    mayImport('catch-up', ['injection', 'pull-secrets', 'ecr', 'kube', 'telemetry', 'config']),
    mayImport('diagnosis', [
      'injection',
      'catch-up',
      'provisioning',
      'renewal',
      'pull-secrets',
      'ecr',
      'certificates',
      'kube',
      'telemetry',
      'config',
    ]),
    mayImport('webhook', ['injection', 'pull-secrets', 'ecr', 'certificates', 'telemetry', 'config']),
    {
      name: 'pure-files-do-no-io',
      comment: 'A pure file gets what it needs as arguments.',
      severity: 'error',
      from: { path: pure },
      to: {
        path: [
          '^node:',
          '^(fs|net|http|https|tls|os|path|crypto)$',
          'node_modules/',
          '^src/(kube|telemetry)/',
        ],
        dependencyTypesNot: ['type-only'],
      },
    },
    onlyIn('aws-sdk-only-in-ecr', 'node_modules/(@aws-sdk|@smithy)/', '^src/ecr/'),
    onlyIn('kubernetes-client-only-in-kube', 'node_modules/@kubernetes/', '^src/kube/'),
    onlyIn('forge-only-in-issue', 'node_modules/node-forge/', '^src/certificates/issue[.]ts$'),
    {
      name: 'product-does-not-import-tests',
      severity: 'error',
      from: { path: '^(src|certs-scripts)/' },
      to: { path: '^(test|demo|bench|build|image|plugins|release|try)/' },
    },
    {
      name: 'no-dev-dependency-in-product',
      severity: 'error',
      from: { path: '^(src|certs-scripts)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|node_modules/[.])' },
    // TypeScript 7 has no API yet for others to parse with
    parser: 'swc',
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
