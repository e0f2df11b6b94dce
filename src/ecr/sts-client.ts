// Creates clients of AWS STS. Its module is loaded when it is needed, because most commands do not call it.
import type { STSClient } from '@aws-sdk/client-sts';
import type { fromNodeProviderChain } from '@aws-sdk/credential-providers';
import { productName } from '../labels.ts';
import type { SharedHttpHandler } from './http-handler.ts';

/** Credentials as the SDK's providers return them. */
export type Credentials = Awaited<ReturnType<ReturnType<typeof fromNodeProviderChain>>>;

export type CredentialProvider = () => Promise<Credentials>;

export interface StsClientOptions {
  readonly credentials: CredentialProvider;
  readonly http: SharedHttpHandler;
  readonly region: string;
  /** The profile of the shared AWS files that has further settings; undefined: that of AWS_PROFILE. */
  readonly profile: string | undefined;
}

export const loadSts = () => import('@aws-sdk/client-sts');

export async function createStsClient({
  credentials,
  http,
  region,
  profile,
}: StsClientOptions): Promise<STSClient> {
  const { STSClient } = await loadSts();
  return new STSClient({
    credentials,
    requestHandler: http,
    customUserAgent: productName,
    region,
    ...(profile !== undefined && { profile }),
  });
}
