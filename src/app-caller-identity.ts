// Builds what finds out which AWS identity the process has.
import type { AppDependencies } from './app-dependencies.ts';
import { readCallerIdentity } from './ecr/caller-identity.ts';
import { CallerIdentityMonitor } from './ecr/caller-identity-monitor.ts';
import { usesOwnCredentials } from './ecr/identity-rules.ts';
import { listMappedRegistries } from './ecr/registry.ts';

export function createCallerIdentityMonitor(dependencies: AppDependencies): CallerIdentityMonitor {
  const { config, configuredRegistries, environment, log, monotonicNow } = dependencies;
  const { connectTimeout, requestTimeout } = config.tokens;
  const registries = [...configuredRegistries, ...listMappedRegistries(config)];
  return new CallerIdentityMonitor({
    readIdentity: (signal) =>
      readCallerIdentity(environment, {
        signal,
        timeouts: { connectMs: connectTimeout, requestMs: requestTimeout },
        fallbackRegion: registries.find(({ kind }) => kind === 'private')?.region,
      }),
    usesOwnCredentials: usesOwnCredentials(config.registries),
    log,
    monotonicNow,
    random: Math.random,
  });
}
