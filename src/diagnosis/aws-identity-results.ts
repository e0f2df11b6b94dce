// Describes whether the program gets AWS credentials, roles and tokens. Pure.
import type { CallerIdentity } from '../ecr/caller-identity.ts';
import type { UnresolvedIdentity } from '../ecr/identity.ts';
import type { TokenError } from '../ecr/token-error.ts';
import { listNames, type RegionProbe } from './aws-connection-results.ts';
import type { AwsTarget, AwsTargets } from './aws-targets.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import { isUnknown } from './host-identity.ts';

/** What a call returned, or why it failed. */
export type Attempt<T> = { readonly value: T } | { readonly failure: TokenError };

interface IdentityAttempts {
  /** GetCallerIdentity with the program's own credentials. */
  readonly own: Attempt<CallerIdentity>;
  /** The same with the identity of each rule. */
  readonly rules: readonly { readonly target: AwsTarget; readonly attempt: Attempt<CallerIdentity> }[];
  /** GetAuthorizationToken for each endpoint that responds. */
  readonly tokens: readonly { readonly target: AwsTarget; readonly attempt: Attempt<unknown> }[];
}

export interface IdentityFindings {
  readonly targets: AwsTargets;
  readonly attempts: IdentityAttempts;
  /** Endpoints in use that do not respond. */
  readonly silent: readonly RegionProbe[];
  /** See `ConnectionFindings`. */
  readonly isClockOff: boolean;
}

/** Codes for which nothing at all has been learned about the credentials. */
const connectionCodes: ReadonlySet<string> = new Set([
  ...['network', 'timeout', 'tls', 'proxy', 'proxy-authentication', 'server-error', 'throttled'],
  ...['invalid-response', 'invalid-endpoint', 'invalid-endpoint-url'],
]);

/** Codes that a wrong clock can cause. */
const clockCodes: ReadonlySet<string> = new Set([
  ...['clock-skew', 'SignatureDoesNotMatch', 'InvalidSignatureException', 'ExpiredToken'],
  ...['ExpiredTokenException', 'InvalidIdentityToken', 'InvalidIdentityTokenException'],
]);

const credentialsPage = 'how-to/aws-credentials.md#check-the-credentials';
const refusalPage = 'troubleshooting.md#aws-refuses-or-does-not-respond';
const noTokens = 'The program fetches no tokens, so pods stop pulling when the stored tokens expire';

/** In the order in which causes come before what follows from them. */
export function describeIdentities(findings: IdentityFindings): CheckResult[] {
  const own = describeOwnIdentity(findings);
  return [
    ...own.results,
    ...describeRules(findings, own.obstacle),
    ...describeTokens(findings, own.obstacle),
  ];
}

/** Whether an identity begins with the program's own credentials. */
function usesOwnCredentials({ identity: { webIdentity, profile } }: AwsTarget): boolean {
  return webIdentity === undefined && profile === undefined;
}

interface OwnIdentity {
  readonly results: readonly CheckResult[];
  /** Why calls with these credentials fail, as the end of a sentence after "because"; undefined: there are credentials. */
  readonly obstacle: string | undefined;
}

function describeOwnIdentity({ targets, attempts, isClockOff }: IdentityFindings): OwnIdentity {
  const { own, tokens } = attempts;
  if ('value' in own) {
    return { results: describeCaller(own.value), obstacle: undefined };
  }
  const { failure } = own;
  const all = [...targets.endpoints, ...targets.rules];
  if (all.length > 0 && !all.some(usesOwnCredentials)) {
    const reason = 'no registry in use needs credentials of the program itself';
    return { results: [skipCheck('aws-credentials', reason)], obstacle: undefined };
  }
  const works = tokens.some(({ target, attempt }) => usesOwnCredentials(target) && 'value' in attempt);
  if (works) {
    return { results: [describeUnknownCaller(failure)], obstacle: undefined };
  }
  if (isClockOff && clockCodes.has(failure.code)) {
    return { results: [skipCheck('aws-credentials', clockReason)], obstacle: clockReason };
  }
  const obstacle =
    failure.code === 'no-credentials' ? 'there are no credentials' : 'the credentials cannot be used';
  return {
    results: [describeCredentials(failure), skipCheck('aws-caller-identity', obstacle)],
    obstacle,
  };
}

const clockReason = 'the clock is wrong';

const providerNames: Readonly<Record<CallerIdentity['provider'], string>> = {
  environment: 'the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  'web-identity': 'a web identity token (IAM roles for service accounts)',
  'pod-identity': 'EKS Pod Identity',
  container: 'the endpoint for the credentials of containers',
  process: 'the process of a profile (credential_process)',
  'identity-center': 'IAM Identity Center',
  login: 'a session of aws login',
  profile: 'a profile of the shared AWS files',
  'instance-metadata': 'the role of the EC2 instance',
};

function describeCaller({ arn, provider }: CallerIdentity): CheckResult[] {
  return [
    {
      check: 'aws-credentials',
      outcome: 'ok',
      summary: `the credentials are from ${providerNames[provider]}`,
    },
    { check: 'aws-caller-identity', outcome: 'ok', summary: `the program is ${arn}` },
  ];
}

/** Tokens are fetched, so it is no failure that STS says nothing. */
function describeUnknownCaller(failure: TokenError): CheckResult {
  return {
    check: 'aws-caller-identity',
    outcome: 'warning',
    summary: `AWS STS does not name the identity of the program: ${failure.description}`,
    meaning: 'Tokens are fetched nevertheless, but roles cannot be assumed',
    remedy: failure.advice,
    page: refusalPage,
  };
}

const credentialSummaries: ReadonlyMap<string, string> = new Map([
  ['ExpiredToken', 'the AWS credentials have expired (ExpiredToken)'],
  ['ExpiredTokenException', 'the AWS credentials have expired (ExpiredTokenException)'],
  ['InvalidClientTokenId', 'AWS does not know the access key (InvalidClientTokenId)'],
  [
    'SignatureDoesNotMatch',
    'the secret access key does not belong to the access key (SignatureDoesNotMatch)',
  ],
]);

/** The description can name a file that cannot be read. */
function describeMissing(description: string): string {
  const general = 'no AWS credentials';
  return description === general ? `the program has ${general}` : description;
}

function describeCredentials({ code, description, advice }: TokenError): CheckResult {
  const isConnection = connectionCodes.has(code);
  const problem = code === 'no-credentials' ? describeMissing(description) : undefined;
  return {
    check: 'aws-credentials',
    outcome: 'failed',
    summary: isConnection
      ? `no credentials, because AWS STS or the credential provider does not respond: ${description}`
      : (problem ?? credentialSummaries.get(code) ?? `the AWS credentials cannot be used: ${description}`),
    meaning: noTokens,
    remedy: advice,
    page: isConnection ? refusalPage : credentialsPage,
  };
}

function describeRules(
  { targets, attempts, isClockOff }: IdentityFindings,
  obstacle: string | undefined,
): CheckResult[] {
  const check = 'aws-rule-identities';
  const unresolved = targets.unresolved.map(({ decision }) => describeUnresolvedRule(decision));
  const failed = attempts.rules.flatMap(({ target, attempt }) =>
    'failure' in attempt ? [describeRuleFailure(target, attempt.failure, obstacle, isClockOff)] : [],
  );
  const ok = attempts.rules.flatMap(({ target, attempt }) =>
    'value' in attempt ? [`${target.identity.rule}: ${attempt.value.arn}`] : [],
  );
  const broken = new Set(targets.unresolved.map(({ decision }) => decision.rule));
  const untested = targets.untestedRules
    .filter((rule) => !broken.has(rule))
    .map((rule) => `${rule}: not tested, because no namespace uses it`);
  const results = [...unresolved, ...failed];
  if (ok.length > 0) {
    const summary = `${ok.length === 1 ? 'the identity of 1 rule works' : `the identities of ${ok.length} rules work`}`;
    results.push({ check, outcome: 'ok', summary, details: [...ok, ...untested] });
  } else if (results.length === 0 && untested.length > 0) {
    results.push({
      ...skipCheck(check, 'no namespace uses a rule that names an identity'),
      details: untested,
    });
  }
  return results.length > 0 ? results : [{ check, outcome: 'ok', summary: 'no rule names another identity' }];
}

function describeUnresolvedRule(decision: UnresolvedIdentity): CheckResult {
  const check = 'aws-rule-identities';
  const { code, message } = decision;
  return isUnknown(decision)
    ? skipCheck(check, message)
    : {
        check,
        outcome: 'failed',
        summary: message,
        meaning: 'The namespace gets no tokens for the registries of this rule',
        remedy: unresolvedRemedies[code],
        page: 'how-to/isolate-teams.md#check-the-identities',
      };
}

const unresolvedRemedies: Readonly<Record<string, string>> = {
  'service-account-missing': 'Create the ServiceAccount with the annotation of its role',
  'role-missing': 'Annotate the ServiceAccount with the ARN of its role, or set roleArn in the rule',
  'role-invalid': 'Set the annotation to an ARN such as arn:aws:iam::123456789012:role/NAME',
  'role-not-allowed': 'Annotate the ServiceAccount with an allowed role, or add this one to allowedRoles',
};

function describeRuleFailure(
  target: AwsTarget,
  { code, description, advice }: TokenError,
  obstacle: string | undefined,
  isClockOff: boolean,
): CheckResult {
  const check = 'aws-rule-identities';
  const { rule = '', role } = target.identity;
  if (obstacle !== undefined && usesOwnCredentials(target)) {
    return skipCheck(check, obstacle);
  }
  if (isClockOff && clockCodes.has(code)) {
    return skipCheck(check, clockReason);
  }
  const isDenied = code === 'AccessDenied' || code === 'AccessDeniedException';
  const withId = role?.externalId === undefined ? '' : ' with its externalId';
  const withoutId = 'If the trust policy of the role requires an external ID, set externalId in the rule';
  const compare = `Compare externalId of ${rule} with sts:ExternalId in the trust policy of the role`;
  const onId = role?.externalId === undefined ? withoutId : compare;
  return {
    check,
    outcome: 'failed',
    summary:
      isDenied && role !== undefined
        ? `AWS STS refuses role ${role.roleArn} of ${rule}${withId} (${code})`
        : `${rule} does not get its credentials: ${description}`,
    meaning: `Namespaces to which ${rule} applies, such as ${target.namespace}, get no tokens`,
    remedy: isDenied && role !== undefined ? `${advice}. ${onId}` : advice,
    page: 'how-to/isolate-teams.md#check-the-identities',
  };
}

function describeTokens(
  { targets, attempts, silent, isClockOff }: IdentityFindings,
  obstacle: string | undefined,
): CheckResult[] {
  const check = 'aws-tokens';
  if (targets.endpoints.length === 0) {
    return [skipCheck(check, 'no registry is in use yet')];
  }
  const brokenRules = new Set(
    attempts.rules.flatMap(({ target, attempt }) => ('failure' in attempt ? [target.identity.rule] : [])),
  );
  const failed = attempts.tokens.flatMap(({ target, attempt }): CheckResult[] => {
    if ('value' in attempt) {
      return [];
    }
    const { rule } = target.identity;
    if (obstacle !== undefined && usesOwnCredentials(target)) {
      return [skipCheck(check, obstacle)];
    }
    if (rule !== undefined && brokenRules.has(rule)) {
      return [skipCheck(check, `${rule} does not get its credentials`)];
    }
    return isClockOff && clockCodes.has(attempt.failure.code)
      ? [skipCheck(check, clockReason)]
      : [describeTokenFailure(target, attempt.failure)];
  });
  const regions = attempts.tokens.flatMap(({ target, attempt }) =>
    'value' in attempt ? [target.registry.region] : [],
  );
  const more =
    targets.moreEndpoints > 0 ? [`${targets.moreEndpoints} more endpoints were not tested`] : undefined;
  const ok: CheckResult[] =
    regions.length === 0
      ? []
      : [{ check, outcome: 'ok', summary: `ECR issues tokens for ${listNames(regions)}`, details: more }];
  return mergeEqual([...silent.map(describeSilent), ...failed, ...ok]);
}

function describeSilent({ region, endpoint, isUnknownHost, failure }: RegionProbe): CheckResult {
  return {
    check: 'aws-tokens',
    outcome: 'failed',
    summary: isUnknownHost
      ? `region ${region} does not exist, or its name is misspelt: there is no host ${endpoint}`
      : `ECR cannot be reached in region ${region} (${endpoint ?? 'no endpoint'}): ${failure?.description}`,
    meaning: `Images in ${region} cannot be pulled when the stored tokens have expired`,
    remedy: isUnknownHost
      ? 'Correct the region in the images of the pods, or in provisioning.registries or hosts'
      : failure?.advice,
    page: refusalPage,
  };
}

function describeTokenFailure({ registry, identity }: AwsTarget, failure: TokenError): CheckResult {
  const by = identity.rule === undefined ? '' : ` with the identity of ${identity.rule}`;
  return {
    check: 'aws-tokens',
    outcome: 'failed',
    summary: `ECR issues no token for ${registry.region}${by}: ${failure.description}`,
    meaning: `Images in ${registry.region} cannot be pulled when the stored tokens have expired`,
    remedy: failure.advice,
    page: refusalPage,
  };
}

/** Keeps one of several equal results, such as those of regions that are skipped for the same reason. */
function mergeEqual(results: readonly CheckResult[]): CheckResult[] {
  const bySummary = new Map(results.map((result) => [result.summary, result]));
  return [...bySummary.values()];
}
