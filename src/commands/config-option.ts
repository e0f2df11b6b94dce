// The option --config of all commands, and the file that it names.
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { ConfigError, readConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { serializeError } from '../telemetry/log-fields.ts';

export interface ConfigOption {
  /** Undefined: every setting has its default, or the command finds the configuration itself. */
  readonly configFile: string | undefined;
}

/** @param otherwise what applies without the option */
export function addConfigOption(command: Command, otherwise = 'all settings have their defaults'): Command {
  return command.option('--config <file>', `configuration file in YAML; without it, ${otherwise}`);
}

export function configOption(command: Command): ConfigOption {
  const { config }: { config?: string } = command.opts();
  return { configFile: config };
}

/** The limit of a ConfigMap. */
const maxFileBytes = 1024 * 1024;

/** Names the source of a configuration, for messages. */
export function configSource({ configFile }: ConfigOption): string {
  return configFile ?? 'the default configuration';
}

function describeReadError(code: unknown): string {
  switch (code) {
    case 'ENOENT':
      return 'does not exist';
    case 'EISDIR':
      return 'is a directory, not a file';
    default:
      return `cannot be read (${code})`;
  }
}

/** @throws {ConfigError} for a file that cannot be read, or with all problems of its content */
export async function loadConfig(option: ConfigOption): Promise<Config> {
  const source = configSource(option);
  if (option.configFile === undefined) {
    return readConfig('', source);
  }
  // Reads one byte more than is allowed, so that a device or another endless file ends too.
  const bytes = await buffer(createReadStream(option.configFile, { end: maxFileBytes })).catch(
    (error: unknown) => {
      throw new ConfigError(source, [{ path: '', text: describeReadError(serializeError(error)['code']) }]);
    },
  );
  if (bytes.length > maxFileBytes) {
    throw new ConfigError(source, [{ path: '', text: 'is larger than 1 MiB, the limit of a ConfigMap' }]);
  }
  return readConfig(bytes.toString(), source);
}
