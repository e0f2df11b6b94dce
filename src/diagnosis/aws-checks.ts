// Checks of the group `aws`: connection, clock, credentials, identities of rules, and tokens.
import { setTimeout as wait } from 'node:timers/promises';
import { ConfigError } from '../config/load-config.ts';
import { readAwsSettings } from '../ecr/aws-settings.ts';
import { type CallerIdentity, readCallerIdentity } from '../ecr/caller-identity.ts';
import { createEcrTokenClient } from '../ecr/ecr-client.ts';
import { probeEndpoint } from '../ecr/endpoint-probe.ts';
import type { Identity } from '../ecr/identity.ts';
import { resolveStsRegion } from '../ecr/partitions.ts';
import { createRegistryResolver, type Registry } from '../ecr/registry.ts';
import { TokenError } from '../ecr/token-error.ts';
import { createServiceAccountTokenRequester } from '../kube/service-account-tokens.ts';
import { productName } from '../labels.ts';
import { whenAborted } from '../util/timeout.ts';
import { describeConnection, type RegionProbe } from './aws-connection-results.ts';
import { type Attempt, describeIdentities } from './aws-identity-results.ts';
import { type AwsTarget, type AwsTargets, toHost } from './aws-targets.ts';
import { readAwsTargets } from './aws-use.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';

/**
 * Bounds of one call. A group has 30 s by default, and makes up to three calls one after the other. The number of calls at the same
 * time is bounded by that of the targets.
 */
const timeouts = { connectMs: 2_500, requestMs: 4_000, totalMs: 7_000 };

/** After this time without a response, an endpoint that exists is probed too, in ms. */
const referenceDelayMs = 1_000;

/** Calls AWS only with the program's own credentials, so outside of the installation it checks nothing. */
export const checkAws: CheckGroupRunner = async (installation, signal) => {
  if (installation.viewpoint === 'outside') {
    return [describeOutside(installation)];
  }
  const invalid = findInvalidSettings(installation);
  if (invalid !== undefined) {
    return [invalid, skipCheck('aws-credentials', 'the program does not start with these variables')];
  }
  const found: CheckResult[] = [];
  const work = checkInside(installation, signal, (results) => found.push(...results));
  const unfinished = skipCheck('aws-tokens', 'the time was over');
  await Promise.race([work, whenAborted(signal).then(() => void found.push(unfinished))]);
  return [...found];
};

function describeOutside({ namespace = productName }: Installation): CheckResult {
  const run = `kubectl exec --namespace ${namespace} deploy/${productName} -- ${productName} doctor --group aws`;
  return {
    ...skipCheck(
      'aws-credentials',
      'the AWS credentials of this machine are not those of the program',
      `Run the checks in the program's pod: ${run}`,
    ),
    page: 'how-to/aws-credentials.md#check-the-credentials',
  };
}

function findInvalidSettings({ environment }: Installation): CheckResult | undefined {
  try {
    readAwsSettings(environment);
    return undefined;
  } catch (error) {
    if (!(error instanceof ConfigError)) {
      throw error;
    }
    return {
      check: 'aws-environment',
      outcome: 'failed',
      summary: 'environment variables for AWS cannot be used',
      meaning: 'The program does not start, so no pod gets a pull Secret',
      remedy: 'Correct the variables in the values of the chart (env), or in the Secret that they are from',
      page: 'how-to/aws-credentials.md#choose-the-source-of-the-credentials',
      details: error.problems.map(({ path, text }) => `${path} ${text}`),
    };
  }
}

async function checkInside(
  installation: Installation,
  signal: AbortSignal,
  report: (results: readonly CheckResult[]) => void,
): Promise<void> {
  const { targets, gaps } = await readAwsTargets(installation, signal);
  const probes = await probeTargets(targets, installation);
  const connection = describeConnection(probes.inUse, probes.reference);
  report([...connection.results, ...gaps.map(({ why }) => skipCheck('aws-rule-identities', why))]);
  if (connection.obstacle !== undefined) {
    report([skipCheck('aws-credentials', connection.obstacle)]);
    return;
  }
  const silent = probes.inUse.filter(({ failure }) => failure !== undefined);
  const reached = targets.endpoints.filter((_, index) => probes.inUse[index]?.failure === undefined);
  const attempts = await attemptCalls({ ...targets, endpoints: reached }, installation);
  const { isClockOff } = connection;
  const isInUse = targets.endpoints.length > 0;
  report(describeIdentities({ targets, attempts, silent: isInUse ? silent : [], isClockOff }));
}

interface Probes {
  /** One for each endpoint; of the reference, if none is in use. */
  readonly inUse: readonly RegionProbe[];
  /** Of an endpoint that exists, if none in use responds. */
  readonly reference: RegionProbe | undefined;
}

async function probeTargets(
  { endpoints }: AwsTargets,
  { environment, config }: Installation,
): Promise<Probes> {
  const probe = async (registry: Registry): Promise<RegionProbe> => ({
    ...(await probeEndpoint(registry, { environment, timeouts })),
    region: registry.region,
  });
  const region = resolveStsRegion(
    environment['AWS_ROLE_ARN'] || undefined,
    environment['AWS_REGION'] || undefined,
  );
  const known = createRegistryResolver(config)(toHost('123456789012', region));
  const probing = endpoints.map(({ registry }) => probe(registry));
  const isAnswered = probing.map(async (one) => (await one).failure === undefined || Promise.reject(one));
  const answered = Promise.any(isAnswered).catch(() => false);
  // In parallel with probes that may time out, because both together would take too long.
  const soon = await Promise.race([answered, wait(referenceDelayMs, false, { ref: false })]);
  const reference = known === undefined || soon ? undefined : probe(known);
  const inUse = await Promise.all(probing);
  if (reference === undefined || (await answered)) {
    return { inUse, reference: undefined };
  }
  return { inUse: inUse.length > 0 ? inUse : [await reference], reference: await reference };
}

async function attemptCalls({ endpoints, rules }: AwsTargets, installation: Installation) {
  const { environment, cluster } = installation;
  const requestToken = createServiceAccountTokenRequester(cluster);
  const aws = createEcrTokenClient({
    ...{ environment, timeouts, maxClients: 64, requestToken },
    now: Date.now,
  });
  const fallbackRegion = endpoints[0]?.registry.region;
  const identify = (identity?: Identity): Promise<Attempt<CallerIdentity>> =>
    attempt(() =>
      readCallerIdentity(environment, {
        ...{ timeouts, requestToken, fallbackRegion },
        ...(identity !== undefined && { identity }),
      }),
    );
  const fetchToken = ({ identity, registry }: AwsTarget): Promise<Attempt<unknown>> =>
    attempt(() => aws.fetchToken(identity, registry, 'proven'));
  const withAttempt = async <T>(target: AwsTarget, call: Promise<Attempt<T>>) => ({
    target,
    attempt: await call,
  });
  try {
    const [own, ofRules, tokens] = await Promise.all([
      identify(),
      Promise.all(rules.map((target) => withAttempt(target, identify(target.identity)))),
      Promise.all(endpoints.map((target) => withAttempt(target, fetchToken(target)))),
    ]);
    return { own, rules: ofRules, tokens };
  } finally {
    aws.close();
  }
}

async function attempt<T>(call: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await call() };
  } catch (error) {
    if (error instanceof TokenError) {
      return { failure: error };
    }
    throw error;
  }
}
