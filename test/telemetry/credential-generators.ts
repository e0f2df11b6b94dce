// Credentials as they might get into a log line, each with what must never be seen of it.
import { createHash } from 'node:crypto';
import fc from 'fast-check';

export interface PlantedCredential {
  readonly kind: string;
  readonly text: string;
  /** Parts of the text of which none may show. */
  readonly secrets: readonly string[];
}

/** 176 base64 characters, always the same for a seed. */
export function randomBase64(seed: number): string {
  return [0, 1]
    .map((part) => createHash('sha512').update(`${seed} ${part}`).digest('base64'))
    .join('')
    .replaceAll('==', 'w0');
}

function base32(seed: number): string {
  return createHash('sha256')
    .update(`${seed}`)
    .digest('hex')
    .toUpperCase()
    .replaceAll(/[0189]/g, 'Z')
    .slice(0, 16);
}

const kinds: Readonly<Record<string, (seed: number) => Omit<PlantedCredential, 'kind'>>> = {
  'base64 of a token': (seed) => whole(randomBase64(seed)),
  'base64url of a token': (seed) => whole(randomBase64(seed).replaceAll('+', '-').replaceAll('/', '_')),
  'percent-encoded base64': (seed) => whole(encodeURIComponent(randomBase64(seed))),
  'base64 in lines of 76': (seed) => lines(randomBase64(seed), 76, '\n'),
  'base64 in lines of 64': (seed) => lines(randomBase64(seed), 64, '\r\n'),
  'base64 in escaped lines': (seed) => lines(randomBase64(seed), 76, '\\n'),
  'an ECR authorization token': (seed) => whole(btoa(`AWS:${randomBase64(seed)}`)),
  'the beginning of an ECR authorization token': (seed) =>
    whole(btoa(`AWS:${randomBase64(seed)}`).slice(0, 40)),
  'a decoded ECR authorization token': (seed) => part('AWS:', randomBase64(seed).slice(0, 60), ' '),
  'an access key id': (seed) => whole(`AKIA${base32(seed)}`),
  'a temporary access key id': (seed) => whole(`ASIA${base32(seed)}`),
  'basic credentials': (seed) =>
    part('Authorization: Basic ', btoa(`user:${randomBase64(seed).slice(0, 12)}`), '\r\n'),
  'a bearer token': (seed) => part('{"authorization":"Bearer ', randomBase64(seed).slice(0, 40), '"}'),
  'a JSON web token': (seed) =>
    whole(
      `${btoa('{"alg":"RS256","kid":"x"}').replaceAll('=', '')}.${btoa(`{"sub":"${seed}"}`).replaceAll('=', '')}.${randomBase64(seed).slice(0, 86).replaceAll(/[+/]/g, '_')}`,
    ),
  'a private key': (seed) =>
    part(
      '-----BEGIN PRIVATE KEY-----\n',
      randomBase64(seed).slice(0, 64),
      '\nMIIE\n-----END PRIVATE KEY-----',
    ),
  'a private key without an end': (seed) =>
    part('-----BEGIN EC PRIVATE KEY-----\\n', randomBase64(seed).slice(0, 64), ''),
  'a password in a URL': (seed) =>
    part('https://user:', randomBase64(seed).replaceAll('/', '').slice(0, 24), '@host/path'),
  'a presigned URL': (seed) =>
    part(
      'https://bucket.s3.amazonaws.com/x?X-Amz-Date=1&X-Amz-Security-Token=',
      encodeURIComponent(randomBase64(seed).slice(0, 60)),
      '&X-Amz-Expires=60',
    ),
  'a signature': (seed) =>
    part('?X-Amz-Signature=', createHash('sha256').update(`${seed}`).digest('hex'), '&x=1'),
  'a session token': (seed) => part('{"SessionToken":"', randomBase64(seed).slice(0, 60), '"}'),
  'a secret access key': (seed) => part('aws_secret_access_key = ', randomBase64(seed).slice(0, 40), '\n'),
};

function whole(text: string): Omit<PlantedCredential, 'kind'> {
  return part('', text, '');
}

function part(before: string, secret: string, after: string): Omit<PlantedCredential, 'kind'> {
  const third = Math.floor(secret.length / 3);
  return {
    text: `${before}${secret}${after}`,
    secrets: [secret.slice(0, third), secret.slice(third, 2 * third), secret.slice(2 * third)].filter(
      ({ length }) => length >= 8,
    ),
  };
}

function lines(text: string, width: number, lineBreak: string): Omit<PlantedCredential, 'kind'> {
  const all = text.match(new RegExp(`.{1,${width}}`, 'g')) ?? [];
  return { text: all.join(lineBreak), secrets: all.map((line) => line.slice(0, 20)) };
}

export const credentials: fc.Arbitrary<PlantedCredential> = fc
  .tuple(fc.constantFrom(...Object.entries(kinds)), fc.nat())
  .map(([[kind, make], seed]) => ({ kind, ...make(seed) }));
