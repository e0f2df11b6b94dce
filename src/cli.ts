import { parseArgs } from 'node:util';

/** What the command line asks for. */
export type Command =
  | { readonly name: 'serve'; readonly configFile: string | undefined }
  | { readonly name: 'help' }
  | { readonly name: 'version' }
  | { readonly name: 'usage-error'; readonly problem: string };

export const usage = `Usage: ecr-pull-secrets serve [--config FILE]

Gives every pod with Amazon ECR images a pull secret with a fresh token.

Commands:
  serve            run the admission webhook (HTTPS) and the status port (HTTP)

Options:
  --config FILE    settings in YAML; without it every setting has its default
  --help           show this text
  --version        show the version

AWS credentials, regions and endpoints come from AWS's own environment variables,
the cluster from the pod's ServiceAccount or KUBECONFIG.
`;

/** Reads the arguments that follow the program's name. Never throws: what it cannot read is a usage error. */
export function readCommand(args: readonly string[]): Command {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
    if (values.help === true) {
      return { name: 'help' };
    }
    if (values.version === true) {
      return { name: 'version' };
    }
    const [command, ...rest] = positionals;
    if (command !== 'serve' || rest.length > 0) {
      const unknown = command === 'serve' ? rest[0] : command;
      return {
        name: 'usage-error',
        problem: unknown === undefined ? 'no command' : `unknown command ${unknown}`,
      };
    }
    return { name: 'serve', configFile: values.config };
  } catch (error) {
    return { name: 'usage-error', problem: error instanceof Error ? error.message : 'unknown arguments' };
  }
}
