// Generates docs/reference/cli.md from the help of the commands: npm run docs:cli
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildProgram } from '../../src/cli.ts';
import { exampleHost } from '../../src/commands/command.ts';
import { removeHostsText, syncText, uninstallText } from '../../src/commands/report-text.ts';
import { formatMarkdownTable } from '../support/markdown-table.ts';

export const cliPageFile = join(import.meta.dirname, '../../docs/reference/cli.md');

const shop = { namespace: 'shop', name: 'ecr-pull-secrets' };

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
};

const exitCodes = [
  ['0', 'success'],
  [
    '1',
    'something failed, a name or pattern given to `sync` selects no namespace, or the cluster cannot be reached',
  ],
  ['2', 'invalid flags, configuration or environment variables'],
  ['130', '`sync`, `uninstall` or `remove-host` was interrupted by SIGINT'],
  ['143', '`sync`, `uninstall` or `remove-host` was interrupted by SIGTERM'],
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
  const sections = program.commands.map((command) => {
    const example = examples[command.name()];
    if (example === undefined) {
      throw new Error(`${command.name()} has no example`);
    }
    const [line, result] = example;
    return `## \`${command.name()}\`\n\n\`\`\`console\n$ ecr-pull-secrets ${line}\n${result}\`\`\`\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`;
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
what they did and what they did not complete. A second signal ends them at once. \`serve\` and \`certificates\` complete the
requests and writes in flight ([graceful shutdown](chart.md#graceful-shutdown)).
`,
  ].join('\n');
}

if (import.meta.main) {
  await writeFile(cliPageFile, cliPage());
}
