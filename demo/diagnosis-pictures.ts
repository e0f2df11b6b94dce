// Draws what doctor and status print as docs/images/*.svg. The test of the pictures runs the commands (npm run docs:pictures).
import { renderTerminal } from './terminal-svg.ts';

/** A picture of one command. */
export interface DiagnosisPicture {
  /** Where it is stored, and read from by the documentation. */
  readonly file: URL;
  /** The command, after the name of the program. */
  readonly command: readonly string[];
  /** The width of the terminal, in characters. */
  readonly columns: number;
  readonly description: string;
}

const imageFile = (name: string) => new URL(`../docs/images/${name}.svg`, import.meta.url);

/** All of the installation in which a ServiceAccount of namespace payments names a role that the rule does not allow. */
export const diagnosisPictures: readonly DiagnosisPicture[] = [
  {
    file: imageFile('doctor'),
    command: ['doctor'],
    columns: 128,
    description:
      'The groups configuration, api-server, webhook, aws, secrets, pods and provisioning with a line for each check. ' +
      'Two checks failed: a host of namespace payments has no valid token, because its ServiceAccount names a role that ' +
      'allowedRoles does not contain, and therefore a pod cannot pull. The last line repeats the first failed check.',
  },
  {
    file: imageFile('doctor-pod'),
    command: ['doctor', 'pod', 'payments/stuck'],
    columns: 128,
    description:
      'The webhook gives the pod the reference, the pod has it, and the program manages the Secret. Then a line failed: ' +
      'there is no token for the host, because the ServiceAccount names a role that allowedRoles does not contain. ' +
      'Below it are the meaning, what to do, and a link.',
  },
  {
    file: imageFile('status'),
    command: ['status'],
    columns: 168,
    description:
      'A table with four hosts in four pull Secrets. The host of namespace payments is failing and has no token, and two ' +
      'pods use it. Those of partner, shop and vendor are valid for almost twelve hours.',
  },
];

/**
 * Draws the output of a command, with fixed values in place of those that differ between runs.
 * @param namespace that of the installation, which has a random name
 */
export function drawDiagnosis(
  output: string,
  namespace: string,
  { command, columns, description }: DiagnosisPicture,
): string {
  const text = output
    .replaceAll(namespace, 'ecr-pull-secrets')
    .replaceAll(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:6443')
    .replaceAll(/\bv1\.\d+\.\d+\b/g, 'v1.37.2')
    .replaceAll(/\bwaited for \d+s/g, 'waited for 5m0s')
    .replaceAll(/\bin 11h5\dm/g, 'in 11h59m');
  const commandLine = `kubectl ecr-pull-secrets ${command.join(' ')}`;
  return renderTerminal(text, {
    title: `Output of ${commandLine}`,
    description,
    command: commandLine,
    columns,
  });
}
