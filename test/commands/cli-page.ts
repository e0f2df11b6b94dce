// Generates docs/reference/cli.md from the help of the commands: npm run docs:cli
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildProgram } from '../../src/cli.ts';
import { commandPath, exampleHost } from '../../src/commands/command.ts';
import { chainText } from '../../src/commands/doctor-chain.ts';
import { groupText, summaryText } from '../../src/commands/doctor-text.ts';
import { explanationText } from '../../src/commands/explain-text.ts';
import { removeHostsText, syncText, uninstallText } from '../../src/commands/report-text.ts';
import { statusText } from '../../src/commands/status-text.ts';
import type { CheckGroup, CheckResult } from '../../src/diagnosis/check.ts';
import { describeManifest } from '../../src/diagnosis/manifest-results.ts';
import { reasonTexts } from '../../src/diagnosis/pod-explanation.ts';
import type { StatusRow } from '../../src/diagnosis/status-rows.ts';
import { formatMarkdownTable } from '../support/markdown-table.ts';
import { registryOfHost } from '../support/registries.ts';

export const cliPageFile = join(import.meta.dirname, '../../docs/reference/cli.md');

const shop = { namespace: 'shop', name: 'ecr-pull-secrets' };

const plainStyle = { hasColor: false, isUnicode: false };

function ok(check: string, summary: string): CheckResult {
  return { check, outcome: 'ok', summary };
}

const exampleManifest = {
  image: { host: exampleHost, repository: 'cart', reference: '2' },
  registry: registryOfHost(exampleHost),
  platform: undefined,
  viewpoint: 'inside',
  secret: 'shop/ecr-pull-secrets',
} as const;

const exampleDenial = {
  outcome: 'denied',
  principal: 'arn:aws:sts::111122223333:assumed-role/puller/ecr-pull-secrets',
  action: 'ecr:BatchGetImage',
  policy: 'resource-based policy',
  isExplicit: false,
} as const;

/** A command line and its output, which the program's own formatters make. */
const examples: Readonly<Record<string, readonly [command: string, output: string]>> = {
  serve: [
    'serve --config config.yaml',
    '{"level":"info","time":"2026-01-02T03:04:05.678Z","version":"0.1.0","webhook":"https://[::]:8443","status":"http://[::]:8080","msg":"listening"}\n',
  ],
  certificates: [
    'certificates --config config.yaml',
    '{"level":"info","time":"2026-01-02T03:04:05.678Z","version":"0.1.0","status":"http://[::]:8080","msg":"managing certificates"}\n',
  ],
  sync: [
    `sync --namespace shop --registry ${exampleHost}`,
    syncText({
      namespaces: [
        {
          namespace: 'shop',
          secret: 'updated',
          serviceAccounts: [{ name: 'default', reference: 'added' }],
          failures: [],
        },
      ],
      failed: 0,
    }),
  ],
  uninstall: [
    'uninstall --dry-run',
    uninstallText({
      dryRun: true,
      removals: [
        { kind: 'ServiceAccount', namespace: 'shop', name: 'default', outcome: 'would-remove' },
        { kind: 'Secret', ...shop, outcome: 'would-remove' },
      ],
      failed: 0,
    }),
  ],
  'remove-host': [
    `remove-host --namespace shop --dry-run ${exampleHost}`,
    removeHostsText({
      namespace: 'shop',
      dryRun: true,
      hosts: [{ host: exampleHost, outcome: 'would-remove' }],
      failed: 0,
    }),
  ],
  doctor: ['doctor --group configuration --group webhook --namespace shop', doctorExample()],
  'doctor pod': [
    'doctor pod shop/cart-7d4b9c6f5-x2x9z',
    chainText(
      {
        parts: [
          {
            title: 'pod shop/cart-7d4b9c6f5-x2x9z',
            checks: [
              ok('pod-injection', 'the webhook gives the pod the reference to the pull Secret'),
              ok('pod-reference', 'the pod refers to Secret ecr-pull-secrets'),
              ok('pod-events', 'no Event of the pod names a pull error'),
            ],
          },
          {
            title: 'Secret shop/ecr-pull-secrets',
            checks: [ok('pull-secret', 'the program manages Secret shop/ecr-pull-secrets')],
          },
          {
            title: `image ${exampleHost}/cart:2`,
            checks: [
              ok(
                'image-registry',
                `${exampleHost} is the registry of AWS account 123456789012 in eu-central-1`,
              ),
              ok('pull-token', `the token for ${exampleHost} is valid for 9h12m`),
              ...describeManifest({
                ...exampleManifest,
                result: { outcome: 'manifest-unknown', status: 404 },
              }),
            ],
          },
        ],
      },
      plainStyle,
    ),
  ],
  'doctor image': [
    `doctor image ${exampleHost}/cart:2 --namespace shop`,
    chainText(
      {
        parts: [
          {
            title: `image ${exampleHost}/cart:2`,
            checks: describeManifest({ ...exampleManifest, result: exampleDenial }),
          },
        ],
      },
      plainStyle,
    ),
  ],
  status: ['status', statusExample()],
  completion: ['completion kubectl > kubectl_complete-ecr_pull_secrets', ''],
  explain: ['explain -f deployment.yaml --config config.yaml', explainExample()],
};

function statusExample(): string {
  const now = Date.parse('2026-01-02T12:00:00Z');
  const hour = 3_600_000;
  const lacking = { expiresAt: undefined, waitingSince: undefined, podNames: undefined, error: undefined };
  const role = {
    kind: 'role',
    roleArn: 'arn:aws:iam::123456789012:role/shop',
    rule: 'registries[0]',
  } as const;
  const error = 'No ECR token for us-east-1: AWS returned AccessDeniedException';
  const usEast = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
  const rows: StatusRow[] = [
    { ...lacking, namespace: 'shop', host: usEast, state: 'failing', pods: 1, identity: role, error },
    {
      ...{ ...lacking, namespace: 'cart', host: exampleHost, state: 'valid', pods: 12 },
      ...{ identity: { kind: 'own' }, expiresAt: now + 9 * hour },
    },
    {
      ...{ ...lacking, namespace: 'shop', host: exampleHost, state: 'valid', pods: 3 },
      ...{ identity: role, expiresAt: now + 7.2 * hour },
    },
  ];
  const summary = { namespaces: 2, hosts: 3, states: { failing: 1, valid: 2 }, uninjectedPods: 0 };
  const layout = { isWide: false, hasColor: false, columns: undefined, rows: undefined };
  return statusText({ rows, summary, notes: [], now }, layout);
}

function explainExample(): string {
  return explanationText({
    pods: [
      {
        ...{ kind: 'Deployment', namespace: 'shop', name: 'cart', action: 'inject', reason: 'ecr-image' },
        text: reasonTexts['ecr-image'],
        registries: [
          {
            ...{ host: exampleHost, account: '123456789012', region: 'eu-central-1', isExcluded: false },
            identity: { kind: 'own' },
          },
        ],
        patch: [{ op: 'add', path: '/spec/imagePullSecrets', value: [{ name: 'ecr-pull-secrets' }] }],
        imagePullSecrets: ['ecr-pull-secrets'],
      },
    ],
    skipped: ['Service/cart'],
    notes: [],
    failed: 0,
  });
}

function doctorExample(): string {
  const groups: readonly CheckGroup[] = [
    {
      name: 'configuration',
      checks: [
        {
          check: 'configuration-valid',
          outcome: 'ok',
          summary:
            'the configuration is valid (ConfigMap ecr-pull-secrets/ecr-pull-secrets), and all settings have their defaults',
        },
      ],
    },
    {
      name: 'webhook',
      checks: [
        {
          check: 'webhook-configuration',
          outcome: 'ok',
          summary: 'MutatingWebhookConfiguration zz-ecr-pull-secrets exists',
        },
        {
          check: 'webhook-endpoints',
          outcome: 'failed',
          summary: 'Service ecr-pull-secrets/ecr-pull-secrets has no ready endpoints (2 are not ready)',
          meaning: 'The API server cannot call the webhook, so new pods get no reference',
          remedy:
            'Find out why the pods are not ready: kubectl get pods -n ecr-pull-secrets -l app.kubernetes.io/component=webhook',
          page: 'troubleshooting.md#the-api-server-cannot-call-the-webhook',
        },
      ],
    },
  ];
  const style = { hasColor: false, isUnicode: false };
  return `${groups.map((group) => groupText(group, style)).join('')}${summaryText(groups, undefined)}`;
}

const exitCodes = [
  ['0', 'success'],
  [
    '1',
    'something failed, a check of `doctor` failed, a name or pattern given to `sync` selects no namespace, or the cluster cannot be reached',
  ],
  ['2', 'invalid flags, configuration or environment variables'],
  ['130', '`sync`, `uninstall`, `remove-host`, `doctor` or `status` was interrupted by SIGINT'],
  ['143', '`sync`, `uninstall`, `remove-host`, `doctor` or `status` was interrupted by SIGTERM'],
];

/** @throws {Error} for a command without an example */
export function cliPage(): string {
  let output = '';
  const program = buildProgram(
    () => undefined,
    (text) => {
      output += text;
    },
  );
  const helpOf = (command: typeof program) => {
    output = '';
    command.outputHelp();
    return output.trimEnd();
  };
  const commands = program.commands.flatMap((command) => [command, ...command.commands]);
  const sections = commands.map((command) => {
    const path = commandPath(command);
    const example = examples[path];
    if (example === undefined) {
      throw new Error(`${path} has no example`);
    }
    const [line, result] = example;
    return `## \`${path}\`\n\n\`\`\`console\n$ ecr-pull-secrets ${line}\n${result}\`\`\`\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`;
  });
  return [
    '# Command line reference\n',
    '<!-- Generated from the help of the commands by `npm run docs:cli`. -->\n',
    'This page lists all commands and flags, with an example of each command and its output.\n',
    `\`\`\`\n${helpOf(program)}\n\`\`\`\n`,
    ...sections,
    '## Exit codes\n',
    formatMarkdownTable([['code', 'meaning'], ...exitCodes]),
    `After SIGINT or SIGTERM, \`sync\`, \`uninstall\` and \`remove-host\` start nothing new, wait for the API calls in flight, and report
what they did and what they did not complete. \`doctor\` reports what it has found. A second signal ends them at once. \`serve\` and \`certificates\` complete the
requests and writes in flight ([graceful shutdown](chart.md#graceful-shutdown)).
`,
  ].join('\n');
}

if (import.meta.main) {
  await writeFile(cliPageFile, cliPage());
}
