// Generates docs/reference/broken-setups.md from the table of broken setups: npm run docs:setups
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { productName } from '../../src/labels.ts';
import { formatMarkdownTable } from '../support/markdown-table.ts';
import type { BrokenSetup } from './broken-setup.ts';
import { brokenSetups } from './broken-setups.ts';

export const brokenSetupsPageFile = join(import.meta.dirname, '../../docs/reference/broken-setups.md');

const sections: readonly { from: BrokenSetup['from']; heading: string; text: string }[] = [
  {
    from: 'inside',
    heading: 'In the pod of the program',
    text: 'Run these with `kubectl exec deploy/ecr-pull-secrets --`, so that they use the AWS credentials, the network and the ServiceAccount of the program:',
  },
  {
    from: 'outside',
    heading: 'With a kubeconfig',
    text: 'Run these as an administrator of the cluster, because only administrators may read webhook configurations and the permissions of others:',
  },
];

export function brokenSetupsPage(): string {
  const tables = sections.flatMap(({ from, heading, text }) => [
    `## ${heading}\n`,
    `${text}\n`,
    formatMarkdownTable([
      ['what is broken', 'command', 'first failed line'],
      ...brokenSetups
        .filter((setup) => setup.from === from)
        .map(({ broken, command, check, summary }) => [
          broken,
          `\`${[productName, ...command].join(' ')}\``,
          `\`${check}\`: ${summary}`,
        ]),
    ]),
  ]);
  return [
    '# Broken setups\n',
    '<!-- Generated from test/diagnosis/broken-setups.ts by `npm run docs:setups`. -->\n',
    `This page lists ${brokenSetups.length} setups in which pods do not get their images, and the first failed line with which \`doctor\` names the cause. A
test breaks a real installation in each of these ways and compares the line. \`…\` stands for a part that differs.\n`,
    ...tables,
  ].join('\n');
}

if (import.meta.main) {
  await writeFile(brokenSetupsPageFile, brokenSetupsPage());
}
