// Names the provider of the SDK's default chain that credentials came from.
import { getField, isObject } from '../util/json.ts';
import type { Environment } from './aws-settings.ts';

/** Where credentials came from. */
export type CredentialProviderName =
  /** `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. */
  | 'environment'
  /** `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`, as IAM roles for service accounts set them. */
  | 'web-identity'
  /** EKS Pod Identity. */
  | 'pod-identity'
  /** Another endpoint for the credentials of containers, such as that of Amazon ECS. */
  | 'container'
  /** The `credential_process` of a profile, such as that of IAM Roles Anywhere. */
  | 'process'
  /** AWS IAM Identity Center. */
  | 'identity-center'
  /** The session of `aws login`. */
  | 'login'
  /** Access keys or a role in the shared AWS files. */
  | 'profile'
  /** The role of the EC2 instance. */
  | 'instance-metadata';

/**
 * The features that the SDK's providers record in credentials (`$source`, for the user agent), the most specific first: a profile
 * with a process has those of both. The provider of instance metadata records none.
 */
const features: readonly (readonly [RegExp, CredentialProviderName])[] = [
  [/^CREDENTIALS_(?:PROFILE_)?PROCESS$/, 'process'],
  [/^CREDENTIALS_(?:PROFILE_)?SSO(?:_LEGACY)?$/, 'identity-center'],
  [/^CREDENTIALS_(?:PROFILE_)?LOGIN$/, 'login'],
  [/^CREDENTIALS_PROFILE/, 'profile'],
  [/^CREDENTIALS_ENV_VARS$/, 'environment'],
  [/^CREDENTIALS_ENV_VARS_STS_WEB_ID_TOKEN$/, 'web-identity'],
  [/^CREDENTIALS_HTTP$/, 'container'],
];

/** The addresses of the EKS Pod Identity Agent (Amazon EKS user guide, "EKS Pod Identity Agent"). */
const podIdentityHosts: readonly string[] = ['169.254.170.23', '[fd00:ec2::23]'];

/**
 * Names the provider of credentials.
 * @param credentials what a provider of the SDK resolved with
 */
export function nameCredentialProvider(
  credentials: unknown,
  environment: Environment,
): CredentialProviderName {
  const source = getField(credentials, '$source');
  const recorded = isObject(source) ? Object.keys(source) : [];
  const [, name] = features.find(([pattern]) => recorded.some((one) => pattern.test(one))) ?? [];
  if (name !== undefined && name !== 'container') {
    return name;
  }
  const url = environment['AWS_CONTAINER_CREDENTIALS_FULL_URI'] || undefined;
  if (url !== undefined && podIdentityHosts.includes(URL.parse(url)?.hostname ?? '')) {
    return 'pod-identity';
  }
  const isContainer =
    name === 'container' || url !== undefined || environment['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  return isContainer ? 'container' : 'instance-metadata';
}
