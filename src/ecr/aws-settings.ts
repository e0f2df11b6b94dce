// Reads the settings in environment variables that concern every connection to AWS.
import { ConfigError } from '../config/load-config.ts';
import { readCaBundle } from './aws-ca-bundle.ts';
import { validateAwsVariables } from './aws-variables.ts';
import { type ProxySettings, readProxySettings } from './proxy.ts';

/** Variables of the environment by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings for the HTTP handler of the AWS clients. */
export interface AwsSettings {
  readonly proxies: ProxySettings;
  /** PEM certificates of the CAs that are trusted; undefined: Node's default ones. */
  readonly ca: readonly string[] | undefined;
}

/**
 * Reads the environment.
 * @throws {ConfigError} with every invalid variable; its text contains nothing of their values
 */
export function readAwsSettings(environment: Environment): AwsSettings {
  const proxies = readProxySettings(environment);
  const bundle = readCaBundle(environment);
  const problems = [...validateAwsVariables(environment), ...bundle.problems, ...proxies.problems];
  if (problems.length > 0) {
    throw new ConfigError('the environment', problems);
  }
  return { proxies: proxies.settings, ca: bundle.certificates };
}
