// The options of the commands that examine an installation: which cluster, and which installation in it.
import type { Command } from 'commander';
import { addConfigOption, type ConfigOption, configOption } from './config-option.ts';

export interface InstallationOptions extends ConfigOption {
  /** Undefined: the kubeconfig of the configuration, or the default kubeconfig. */
  readonly kubeconfig: string | undefined;
  /** Undefined: the current context of the kubeconfig. */
  readonly context: string | undefined;
  /** Undefined: the namespace is searched for. */
  readonly installNamespace: string | undefined;
}

export function addInstallationOptions(command: Command): Command {
  return addConfigOption(command, 'that of the installation is read')
    .option('--kubeconfig <file>', 'kubeconfig; without it, KUBECONFIG, ~/.kube/config or the ServiceAccount')
    .option('--context <name>', 'context of the kubeconfig; without it, the current one')
    .option('--install-namespace <name>', 'namespace of the installation; without it, it is searched for');
}

export function installationOptions(command: Command): InstallationOptions {
  const { kubeconfig, context, installNamespace } = command.opts<{
    kubeconfig?: string;
    context?: string;
    installNamespace?: string;
  }>();
  if (installNamespace !== undefined && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(installNamespace)) {
    command.error(`--install-namespace takes the name of a namespace, not ${installNamespace}`);
  }
  return { ...configOption(command), kubeconfig, context, installNamespace };
}
