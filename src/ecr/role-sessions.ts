// Assumes roles with AWS STS, with one client for each profile and region, because a client takes longer to create than to call.
import type { STSClient, Credentials as StsCredentials } from '@aws-sdk/client-sts';
import { productName } from '../labels.ts';
import type { SharedHttpHandler } from './http-handler.ts';
import type { Role } from './identity.ts';
import { type CredentialProvider, type Credentials, createStsClient, loadSts } from './sts-client.ts';

/** How to call STS. */
interface StsCall {
  readonly region: string;
  readonly signal: AbortSignal;
}

/** Assumes roles. Rejects with errors of the SDK, and of the base credentials. */
export class RoleSessions {
  readonly #http: SharedHttpHandler;
  readonly #getBase: (profile: string | undefined) => CredentialProvider;
  readonly #clients = new Map<string, { readonly client: STSClient; readonly profile: string | undefined }>();

  /** @param getBase returns the provider of a profile's credentials; undefined: those of the process */
  constructor(http: SharedHttpHandler, getBase: (profile: string | undefined) => CredentialProvider) {
    this.#http = http;
    this.#getBase = getBase;
  }

  /** Assumes a role with the credentials of a profile; undefined: those of the process. */
  async assume(
    role: Role,
    { profile, region, signal }: StsCall & { readonly profile: string | undefined },
  ): Promise<Credentials> {
    const { externalId, sessionTags = {} } = role;
    const { AssumeRoleCommand } = await loadSts();
    await this.#getBase(profile)(); // so that its errors are not taken for those of the role
    const client = await this.#getClient(profile, region);
    const tags = Object.entries(sessionTags).map(([Key, Value]) => ({ Key, Value }));
    const command = new AssumeRoleCommand({
      ...describeSession(role),
      ExternalId: externalId,
      Tags: tags.length === 0 ? undefined : tags,
    });
    return toCredentials((await client.send(command, { abortSignal: signal })).Credentials);
  }

  /** Assumes a role with a web identity token, which needs no other credentials. */
  async assumeWithToken(role: Role, token: string, { region, signal }: StsCall): Promise<Credentials> {
    const { AssumeRoleWithWebIdentityCommand } = await loadSts();
    const client = await this.#getClient(undefined, region);
    const command = new AssumeRoleWithWebIdentityCommand({
      ...describeSession(role),
      WebIdentityToken: token,
    });
    return toCredentials((await client.send(command, { abortSignal: signal })).Credentials);
  }

  /** Discards the clients with the credentials of a profile, which they may have kept. */
  forget(profile: string | undefined): void {
    for (const [key, entry] of [...this.#clients]) {
      if (entry.profile === profile) {
        this.#clients.delete(key);
      }
    }
  }

  async #getClient(profile: string | undefined, region: string): Promise<STSClient> {
    const key = JSON.stringify([profile ?? null, region]);
    const known = this.#clients.get(key);
    if (known !== undefined) {
      return known.client;
    }
    const credentials = this.#getBase(profile);
    const client = await createStsClient({ credentials, http: this.#http, region, profile });
    this.#clients.set(key, { client, profile });
    return client;
  }
}

function describeSession({ roleArn, sessionName = productName, sessionPolicy }: Role) {
  return { RoleArn: roleArn, RoleSessionName: sessionName, Policy: sessionPolicy };
}

function toCredentials(credentials: StsCredentials | undefined): Credentials {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = credentials ?? {};
  if (!AccessKeyId || !SecretAccessKey) {
    // any server may have answered
    throw Object.assign(new Error('the response of STS has no credentials'), { code: 'INCOMPLETE_RESPONSE' });
  }
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(SessionToken !== undefined && { sessionToken: SessionToken }),
    ...(Expiration !== undefined && { expiration: Expiration }),
  };
}
