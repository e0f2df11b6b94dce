import { createHash } from 'node:crypto';

/** A token that was given out. */
export interface Issued {
  readonly password: string;
  /** Base64 of `AWS:PASSWORD`. */
  readonly auth: string;
  readonly region: string;
  readonly principal: string;
  /** In ms since the epoch by the double's clock. */
  readonly expiresAt: number;
}

/**
 * A password as ECR makes them: base64 of a JSON object, 2.3 to 2.7 KB. The same region, principal and serial give the
 * same one. It begins with the canary, which is there to be looked for.
 */
export function passwordOf(canary: string, region: string, principal: string, serial: number): string {
  const seed = `${region} ${principal} ${serial}`;
  const lengthByte = createHash('sha256').update(seed).digest()[0] ?? 0;
  const inner = {
    payload: letters(`${seed} payload`, 1470 + lengthByte),
    datakey: letters(`${seed} datakey`, 184),
    version: '2',
    type: 'DATA_KEY',
    expiration: 1_800_000_000,
  };
  return `${canary}${Buffer.from(JSON.stringify(inner)).toString('base64')}`;
}

function letters(seed: string, length: number): string {
  const blocks = Array.from({ length: Math.ceil(length / 44) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest('base64'),
  );
  return blocks.join('').slice(0, length);
}
