import { createHash } from 'node:crypto';

/** A key pair that the double knows. */
export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Whose key it is: the ARN of a user or an assumed role. */
  readonly principal: string;
  /** In ms since the epoch by the double's clock. */
  readonly expiresAt: number;
}

const sessionMs = 3_600_000;

/** Every key that AWS would accept: the one the process starts with and those that STS gave out. */
export class Keys {
  readonly #byId = new Map<string, Key>();
  readonly root: Key;

  constructor(canary: string) {
    this.root = {
      accessKeyId: 'AKIAEXAMPLE000000000',
      secretAccessKey: `${canary}-secret-access-key`,
      principal: 'arn:aws:iam::123456789012:user/example',
      expiresAt: Number.POSITIVE_INFINITY,
    };
    this.#byId.set(this.root.accessKeyId, this.root);
  }

  /** A session of a role, as AssumeRole gives it out: one hour long. */
  session(roleArn: string, sessionName: string, canary: string, now: number): Key {
    const number = String(this.#byId.size).padStart(9, '0');
    const key: Key = {
      accessKeyId: `ASIAEXAMPLE${number}`,
      secretAccessKey: `${canary}-session-secret-${number}`,
      sessionToken: `${canary}-session-token-${createHash('sha256').update(number).digest('base64url')}`,
      principal: `${roleArn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${sessionName}`,
      expiresAt: now + sessionMs,
    };
    this.#byId.set(key.accessKeyId, key);
    return key;
  }

  find(accessKeyId: string): Key | undefined {
    return this.#byId.get(accessKeyId);
  }

  all(): Key[] {
    return [...this.#byId.values()];
  }
}
