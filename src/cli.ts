import { parseArgs } from 'node:util';
import { parseEcrHost } from './ecr/registry.ts';

/** What the command line asks for. */
export type Command =
  | { readonly name: 'serve' | 'certificates'; readonly configFile: string | undefined }
  | SyncCommand
  | UninstallCommand
  | RemoveHostCommand
  | { readonly name: 'help' }
  | { readonly name: 'version' }
  | UsageError;

/** Lists are empty where the flag was not given. */
export interface SyncCommand {
  readonly name: 'sync';
  readonly configFile: string | undefined;
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly registries: readonly string[];
  readonly output: 'text' | 'json';
}

export interface UninstallCommand {
  readonly name: 'uninstall';
  readonly configFile: string | undefined;
  readonly dryRun: boolean;
  readonly output: 'text' | 'json';
}

export interface RemoveHostCommand {
  readonly name: 'remove-host';
  readonly configFile: string | undefined;
  readonly namespace: string;
  readonly hosts: readonly string[];
  readonly dryRun: boolean;
  readonly output: 'text' | 'json';
}

interface UsageError {
  readonly name: 'usage-error';
  readonly problem: string;
}

export const usage = `Usage: ecr-pull-secrets serve [--config FILE]
       ecr-pull-secrets certificates [--config FILE]
       ecr-pull-secrets sync [--config FILE] [--namespace NAME]... [--service-account NAME]...
                             [--registry HOST]... [--output json]
       ecr-pull-secrets uninstall --dry-run|--yes [--config FILE] [--output json]
       ecr-pull-secrets remove-host --namespace NAME [--dry-run] [--config FILE] [--output json] HOST...

Gives every pod with Amazon ECR images a pull secret with a fresh token.

Commands:
  serve            run the admission webhook (HTTPS) and the status port (HTTP)
  certificates     only manage the webhook's certificate: issue, renew, publish its CA
  sync             bring Secrets and ServiceAccounts up to date once, and end
  uninstall        remove our Secrets and the references that we added to ServiceAccounts
  remove-host      remove unused ECR hosts from the pull Secret of one namespace

Options:
  --config FILE    settings in YAML; without it every setting has its default
  --namespace NAME, --service-account NAME, --registry HOST
                   in place of what provisioning says in the settings; may be repeated,
                   * stands for any run of characters in names; remove-host needs exactly
                   one --namespace, without *
  --dry-run        only list what would be removed
  --yes            remove it
  --output json    one JSON object on standard output
  --help           show this text
  --version        show the version

AWS credentials, regions and endpoints come from AWS's own environment variables,
the cluster from the pod's ServiceAccount or KUBECONFIG.
`;

const options = {
  config: { type: 'string' },
  namespace: { type: 'string', multiple: true },
  'service-account': { type: 'string', multiple: true },
  registry: { type: 'string', multiple: true },
  output: { type: 'string' },
  'dry-run': { type: 'boolean' },
  yes: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

/** What each command takes. */
const flags: Readonly<Record<string, readonly string[]>> = {
  serve: ['config'],
  certificates: ['config'],
  sync: ['config', 'namespace', 'service-account', 'registry', 'output'],
  uninstall: ['config', 'dry-run', 'yes', 'output'],
  'remove-host': ['config', 'namespace', 'dry-run', 'output'],
};

type Values = ReturnType<typeof parse>['values'];

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options });
}

/** Reads the arguments that follow the program's name. Never throws: what it cannot read is a usage error. */
export function readCommand(args: readonly string[]): Command {
  try {
    const { values, positionals } = parse(args);
    if (values.help === true) {
      return { name: 'help' };
    }
    if (values.version === true) {
      return { name: 'version' };
    }
    return commandOf(positionals, values);
  } catch (error) {
    return usageError(error instanceof Error ? error.message : 'unknown arguments');
  }
}

function commandOf([command, ...rest]: readonly string[], values: Values): Command {
  const taken = command === undefined || !Object.hasOwn(flags, command) ? undefined : flags[command];
  if (taken === undefined || (rest.length > 0 && command !== 'remove-host')) {
    const unknown = taken === undefined ? command : rest[0];
    return usageError(unknown === undefined ? 'no command' : `unknown command ${unknown}`);
  }
  const stray = Object.keys(values).find((flag) => !taken.includes(flag));
  if (stray !== undefined) {
    return usageError(`${command} takes no --${stray}`);
  }
  const empty = Object.entries(values).find(([, value]) => [value].flat().includes(''));
  if (empty !== undefined) {
    return usageError(`--${empty[0]} must not be empty`);
  }
  if (values.output !== undefined && values.output !== 'json') {
    return usageError(`--output takes json, not ${values.output}`);
  }
  return namedCommand(command, values, rest);
}

function namedCommand(command: string | undefined, values: Values, operands: readonly string[]): Command {
  switch (command) {
    case 'sync':
      return syncCommand(values);
    case 'uninstall':
      return uninstallCommand(values);
    case 'remove-host':
      return removeHostCommand(values, operands);
    case 'certificates':
      return { name: 'certificates', configFile: values.config };
    default:
      return { name: 'serve', configFile: values.config };
  }
}

const exampleHost = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const anEcrHost = `an ECR host such as ${exampleHost}`;

function removeHostCommand(values: Values, hosts: readonly string[]): RemoveHostCommand | UsageError {
  const [namespace, ...others] = values.namespace ?? [];
  if (namespace === undefined || others.length > 0 || namespace.includes('*')) {
    return usageError('remove-host needs exactly one --namespace, without *');
  }
  if (hosts.length === 0) {
    return usageError(`remove-host needs at least one HOST, such as ${exampleHost}`);
  }
  const bad = hosts.find((host) => parseEcrHost(host) === undefined);
  if (bad !== undefined) {
    return usageError(`remove-host takes ${anEcrHost}, not ${bad}`);
  }
  const [dryRun, output] = [values['dry-run'] === true, values.output === 'json' ? 'json' : 'text'] as const;
  return {
    name: 'remove-host',
    configFile: values.config,
    namespace,
    hosts: [...new Set(hosts)],
    dryRun,
    output,
  };
}

function syncCommand(values: Values): SyncCommand | UsageError {
  const registries = values.registry ?? [];
  const bad = registries.find((host) => parseEcrHost(host) === undefined);
  if (bad !== undefined) {
    return usageError(`--registry takes ${anEcrHost}, not ${bad}`);
  }
  return {
    name: 'sync',
    configFile: values.config,
    namespaces: values.namespace ?? [],
    serviceAccounts: values['service-account'] ?? [],
    registries,
    output: values.output === 'json' ? 'json' : 'text',
  };
}

function uninstallCommand(values: Values): UninstallCommand | UsageError {
  const [dryRun, yes] = [values['dry-run'] === true, values.yes === true];
  if (dryRun === yes) {
    return usageError(
      'uninstall takes either --dry-run, which only lists what would be removed, or --yes, which removes it',
    );
  }
  const output = values.output === 'json' ? 'json' : 'text';
  return { name: 'uninstall', configFile: values.config, dryRun, output };
}

function usageError(problem: string): UsageError {
  return { name: 'usage-error', problem };
}
