/**
 * The arrows between the rooms of src/ (docs/architecture.md). Each rule names what it forbids and why.
 * @type {import('dependency-cruiser').IConfiguration}
 */

// Files that take everything, the time too, as arguments: no I/O, no clock, no logger, no node: module.
const pure = [
  '^src/images/',
  '^src/backoff[.]ts$',
  '^src/config/contradictions[.]ts$',
  '^src/tokens/(token|failure|identity|backoff|hash)[.]ts$',
  '^src/secrets/(content|docker-config|json-members|annotation|expiries|need|rules|dropping|missing-hosts|unstored-hosts)[.]ts$',
  '^src/renewal/(schedule|plan|plan-types|plan-unstored|attempts|troubles|forgettable)[.]ts$',
  '^src/provisioning/(plan|settings|retries|report)[.]ts$',
  '^src/certificates/(policy|facts|reasons)[.]ts$',
  '^src/admission/(review|decision|patch|answer|deadline|warning)[.]ts$',
];

const mayImport = (room, rooms) => ({
  name: `arrows-of-${room}`,
  comment: `src/${room} may import only: backoff.ts, patient-limit.ts, ${[room, ...rooms].join(', ')}`,
  severity: 'error',
  from: { path: `^src/${room}/` },
  to: { path: '^src/', pathNot: `^src/((${[room, ...rooms].join('|')})/|(backoff|patient-limit)[.]ts$)` },
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
    mayImport('images', []),
    mayImport('tokens', ['images', 'telemetry', 'config']),
    mayImport('secrets', ['images', 'tokens', 'kube', 'telemetry', 'config']),
    mayImport('renewal', ['images', 'tokens', 'secrets', 'kube', 'telemetry', 'config']),
    mayImport('provisioning', ['images', 'tokens', 'secrets', 'kube', 'telemetry', 'config']),
    mayImport('admission', ['images', 'tokens', 'secrets', 'certificates', 'telemetry', 'config']),
    mayImport('certificates', ['kube', 'telemetry', 'config']),
    mayImport('kube', ['telemetry', 'config']),
    mayImport('config', ['images']),
    mayImport('telemetry', ['config']),
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
    onlyIn('aws-sdk-only-in-tokens', 'node_modules/(@aws-sdk|@smithy)/', '^src/tokens/'),
    onlyIn('kubernetes-client-only-in-kube', 'node_modules/@kubernetes/', '^src/kube/'),
    onlyIn('forge-only-in-issue', 'node_modules/node-forge/', '^src/certificates/issue[.]ts$'),
    {
      name: 'product-does-not-import-tests',
      severity: 'error',
      from: { path: '^(src|certs-scripts)/' },
      to: { path: '^(test|demo|bench|image)/' },
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
