// Decides whether a registry host of ECR accepts a request, by the token in it.
import type { ServerResponse } from 'node:http';
import type { IssuedPassword } from './aws-responses.ts';
import type { EcrDouble } from './ecr-double.ts';

/** What a registry needs to know of ECR. */
export type TokenIssuer = Pick<EcrDouble, 'issued' | 'isUnexpired'>;

/** Which tokens a host accepts. */
export type Issuer = Pick<IssuedPassword, 'service' | 'region'>;

const privateHost = /^[0-9]{12}\.dkr\.ecr\.(?<region>[a-z0-9-]+)\.amazonaws\.com$/;

/** The issuer of the tokens of a host; undefined if there is no such host. */
export function issuerOf(
  host: string,
  otherHosts: Readonly<Record<string, Issuer>> = {},
): Issuer | undefined {
  const name = host.replace(/:443$/, '');
  const region = privateHost.exec(name)?.groups?.['region'];
  return region === undefined ? otherHosts[name] : { service: 'ecr', region };
}

/** Why a registry does not serve a request. */
export interface PullRejection {
  readonly status: 401 | 403;
  readonly code: string;
  readonly message: string;
}

export const unauthorized: PullRejection = {
  status: 401,
  code: 'UNAUTHORIZED',
  message: 'authentication required',
};

/** A token is valid for the hosts of every account in its region until it expires. Returns undefined for a valid token. */
export function findRejection(
  authorization: string,
  issuer: Issuer | undefined,
  { issued, isUnexpired }: TokenIssuer,
): PullRejection | undefined {
  const [scheme, auth] = authorization.split(' ');
  const token = issued.find(
    (one) => one.auth === auth && one.region === issuer?.region && one.service === issuer.service,
  );
  if (scheme !== 'Basic' || token === undefined) {
    return unauthorized;
  }
  if (!isUnexpired(token.password)) {
    // The status is in https://github.com/awslabs/amazon-ecr-credential-helper/issues/7
    const message = 'Your authorization token has expired. Reauthenticate and try again.';
    return { status: 403, code: 'DENIED', message };
  }
  return undefined;
}

/** Writes the response to a request that is not served. */
export function writeRejection(
  response: ServerResponse,
  { status, code, message }: PullRejection,
  host: string,
  isPublic = false,
): void {
  // Private registries: https://github.com/mayflower/docker-ls/issues/28. Unlike this one, public.ecr.aws also issues bearer
  // tokens to anonymous clients, at a limited rate.
  const challenge = isPublic
    ? `Bearer realm="https://${host}/token/",service="${host}",scope="aws"`
    : `Basic realm="https://${host}/",service="ecr.amazonaws.com"`;
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(status === 401 && { 'www-authenticate': challenge }),
  });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}
