// Checks the environment variables that the AWS SDK reads on its own.
import type { Problem } from '../config/problems.ts';

/** Returns what is wrong with a value, without repeating it; undefined: nothing. */
type Check = (value: string) => string | undefined;

/** Sent in HTTP headers, or signed: printable ASCII without spaces. */
const credential: Check = (value) =>
  findLineBreakProblem(value) ??
  (/^[\x21-\x7e]+$/.test(value)
    ? undefined
    : 'contains a space, a control character or a character outside of ASCII; set it exactly as AWS issued it');

/** A path or a name. */
const line: Check = (value) => findLineBreakProblem(value) ?? findSpaceProblem(value);

const url: Check = (value) =>
  findLineBreakProblem(value) ??
  findSpaceProblem(value) ??
  (/^https?:\/\/[^/]/i.test(value) && URL.canParse(value)
    ? undefined
    : 'must be a URL that begins with https:// or http://');

/** The SDK itself ignores every other value, so that it would silently not use the FIPS endpoint that you requested. */
const boolean: Check = oneOf('true', 'false');

/** As the SDK checks regions, because they become part of a host name. */
const region: Check = (value) =>
  findLineBreakProblem(value) ??
  (/^(?!-)[A-Za-z\d-]{1,63}(?<!-)$/.test(value) ? undefined : 'must be a region such as eu-central-1');

const sessionName: Check = (value) =>
  findLineBreakProblem(value) ??
  (/^[\w+=,.@-]{2,64}$/.test(value) ? undefined : 'must have 2 to 64 letters, digits or any of +=,.@-_');

const attempts: Check = (value) => (/^[1-9]\d?$/.test(value) ? undefined : 'must be a number from 1 to 99');

/** The variables that the clients, credential providers and configuration of the SDK read for calls to ECR and STS. */
const checks: Readonly<Record<string, Check>> = {
  AWS_ACCESS_KEY_ID: credential,
  AWS_SECRET_ACCESS_KEY: credential,
  AWS_SESSION_TOKEN: credential,
  AWS_ACCOUNT_ID: credential,
  AWS_CREDENTIAL_SCOPE: credential,
  AWS_CREDENTIAL_EXPIRATION: line,
  AWS_PROFILE: line,
  AWS_CONFIG_FILE: line,
  AWS_SHARED_CREDENTIALS_FILE: line,
  AWS_CA_BUNDLE: line,
  AWS_ROLE_ARN: line,
  AWS_ROLE_SESSION_NAME: sessionName,
  AWS_WEB_IDENTITY_TOKEN_FILE: line,
  AWS_CONTAINER_CREDENTIALS_FULL_URI: url,
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: line,
  AWS_CONTAINER_AUTHORIZATION_TOKEN: line,
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: line,
  AWS_EC2_METADATA_DISABLED: line,
  AWS_EC2_METADATA_SERVICE_ENDPOINT: url,
  AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: oneOf('IPv4', 'IPv6'),
  AWS_EC2_METADATA_V1_DISABLED: line,
  AWS_REGION: region,
  AWS_ENDPOINT_URL: url,
  AWS_ENDPOINT_URL_ECR: url,
  AWS_ENDPOINT_URL_ECR_PUBLIC: url,
  AWS_ENDPOINT_URL_STS: url,
  AWS_ENDPOINT_URL_SSO: url,
  AWS_ENDPOINT_URL_SSO_OIDC: url,
  AWS_ENDPOINT_URL_SIGNIN: url,
  AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: boolean,
  AWS_USE_FIPS_ENDPOINT: boolean,
  AWS_USE_DUALSTACK_ENDPOINT: boolean,
  AWS_MAX_ATTEMPTS: attempts,
  AWS_RETRY_MODE: oneOf('standard', 'adaptive', 'legacy'),
  AWS_SDK_UA_APP_ID: line,
};

/**
 * Finds environment variables that would make every call of AWS fail, or that the SDK would silently ignore. Empty ones
 * count as not set. The SDK reads the environment itself, so values are refused instead of repaired: a key with a
 * final line break would also fail in the AWS CLI. Problems contain nothing of the values.
 */
export function validateAwsVariables(environment: Readonly<Record<string, string | undefined>>): Problem[] {
  return Object.entries(checks).flatMap(([path, check]) => {
    const value = environment[path];
    const text = value ? check(value) : undefined;
    return text === undefined ? [] : [{ path, text }];
  });
}

/**
 * Names of all variables that are checked.
 * @internal exported for its tests
 */
export const checkedVariables: readonly string[] = Object.keys(checks);

function oneOf(...values: readonly string[]): Check {
  return (value) => (values.includes(value) ? undefined : `must be ${values.join(' or ')}`);
}

function findLineBreakProblem(value: string): string | undefined {
  if (/[\r\n]$/.test(value)) {
    return 'ends with a line break; store it without one, for example with kubectl --from-literal or printf';
  }
  return /[\r\n]/.test(value) ? 'contains a line break; store it as a single line' : undefined;
}

function findSpaceProblem(value: string): string | undefined {
  if (value !== value.trim()) {
    return 'begins or ends with a space; store it without';
  }
  return /\p{Cc}/u.test(value) ? 'contains a control character' : undefined;
}
