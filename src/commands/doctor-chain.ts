// What the commands `doctor pod` and `doctor image` share: their options, and how they print what they found.
import type { Command } from 'commander';
import { findUnreachable } from '../diagnosis/api-server-checks.ts';
import { type Chain, type ChainPart, hasFailed } from '../diagnosis/chain.ts';
import { describeSource } from '../diagnosis/configuration-checks.ts';
import type { Installation } from '../diagnosis/installation.ts';
import { addOutputOption, type CommandContext, outputFormat } from './command.ts';
import { groupText } from './doctor-text.ts';
import {
  addInstallationOptions,
  type InstallationOptions,
  installationOptions,
} from './installation-options.ts';
import { interruptible } from './interrupt.ts';
import { openInstallation } from './open-installation.ts';
import { jsonText, type OutputFormat } from './print-report.ts';
import { type TerminalStyle, terminalStyle } from './terminal-style.ts';

export interface ChainOptions extends InstallationOptions {
  readonly output: OutputFormat;
}

export function addChainOptions(command: Command): Command {
  return addOutputOption(addInstallationOptions(command));
}

export function chainOptions(command: Command): ChainOptions {
  return { ...installationOptions(command), output: outputFormat(command) };
}

/** How long everything may take, in ms: some requests to the API server, then one to each registry. */
const timeoutMs = 45_000;

/**
 * Opens the installation, follows a chain and prints it.
 * @returns the exit code: 1 if a step failed
 * @throws {KubeConfigError} or {ConfigError} as {@link openInstallation}
 */
export async function runChain(
  options: ChainOptions,
  context: CommandContext,
  follow: (installation: Installation, signal: AbortSignal) => Promise<Chain>,
): Promise<number> {
  return await interruptible(context.signals, async (interrupt) => {
    const { installation, problem, source, close } = await openInstallation(
      options,
      context,
      interrupt.signal,
    );
    try {
      const signal = AbortSignal.any([interrupt.signal, AbortSignal.timeout(timeoutMs)]);
      const configuration = problem ?? describeSource(source);
      // Without the configuration, the steps would be those of the defaults, and name a wrong cause.
      const parts =
        problem?.outcome === 'failed' ? [] : await followIfReachable(installation, follow, signal);
      const chain = {
        parts: [
          ...(configuration === undefined ? [] : [{ title: 'configuration', checks: [configuration] }]),
          ...parts,
        ],
      };
      const style = terminalStyle(context.stdout, context.environment);
      context.stdout.write(options.output === 'json' ? jsonText(chain) : chainText(chain, style));
      return interrupt.exitCode ?? (chain.parts.some(({ checks }) => hasFailed(checks)) ? 1 : 0);
    } finally {
      await close();
    }
  });
}

/** If the API server does not respond, every step would only repeat that. */
async function followIfReachable(
  installation: Installation,
  follow: (installation: Installation, signal: AbortSignal) => Promise<Chain>,
  signal: AbortSignal,
): Promise<readonly ChainPart[]> {
  const unreachable = await findUnreachable(installation, signal);
  return unreachable === undefined
    ? (await follow(installation, signal)).parts
    : [{ title: 'api-server', checks: [unreachable] }];
}

/**
 * Formats a chain for readers.
 * @internal exported for the command line reference
 */
export function chainText({ parts }: Chain, style: TerminalStyle): string {
  const text = parts.map(({ title, checks }) => groupText({ name: title, checks }, style)).join('');
  return `${text.trimEnd()}\n`;
}
