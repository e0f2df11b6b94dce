// Docker configs on which parsers disagree: fixed ones, and generators of random ones.
import fc from 'fast-check';

/** One occurrence of `auths` in a document: members in their order, duplicates too, or `null`. */
type Auths = readonly (readonly [name: string, value: string])[] | null;

/** A document, and what it is made of. */
export interface DockerConfigCase {
  readonly text: string;
  readonly auths: readonly Auths[];
}

/** Occurs in values of the documents. No report may contain it. */
export const secretMarker = 'hunter2';

const ecrHost = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const quoted = (text: string) => JSON.stringify(text);
const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
const object = (members: readonly (readonly [string, string])[], space = '') =>
  `{${members.map(([name, value]) => `${name}${space}:${space}${value}`).join(`${space},`)}}`;

/** A pull Secret that a user edited. The kubelet refuses it because of its last two entries, and accepts the others. */
export const editedByUser = `{"auths":{
 "${ecrHost}":{"auth":"QVdTOnRva2Vu"},
 "nulls.example.com":{"username":"u","password":"p","email":null,"auth":"dTpw"},
 "space.example.com":{"auth":"dTpw "},
 "case.example.com":{"Auth":"!!!"}}}`;

/** Entries of a registry, each as JSON. */
export const fixedEntries: readonly string[] = [
  '{"username":"u","password":"p","email":null,"auth":"dTpw"}',
  // absent, empty and null
  'null',
  '{}',
  '{"auth":null}',
  '{"auth":""}',
  '{"auth":"","username":"u","password":"p"}',
  '{"username":null,"password":null}',
  // base64
  ...[
    'dTpw\\n',
    '\\r\\ndT\\npw',
    'dTpw\\t',
    ' dTpw',
    'dTpw\\f',
    'dTpw\\u00a0',
    '\\n',
    '=',
    '====',
    'dTpw=',
  ].map((auth) => `{"auth":"${auth}"}`),
  ...[
    'dTo=',
    'dTo',
    'dTo=\\n',
    'dTo= ',
    'dT\\no\\n=\\n',
    'dTo==',
    'dTox=',
    'dTo=dTo=',
    'Og==',
    'Og=\\n=',
    'Og=',
    'Og',
  ].map((auth) => `{"auth":"${auth}"}`),
  ...['Oh==', 'Oh', 'dTr=', 'dT-_', 'dTpw\\u0000', 'O', 'dTpwO', 'dXA=', 'dTo6Og=='].map(
    (auth) => `{"auth":"${auth}"}`,
  ),
  `{"auth":${quoted(Buffer.from([0xff, 0x3a, 0xfe]).toString('base64'))}}`,
  `{"auth":${quoted(base64('u:p\0\0'))}}`,
  // precedence of fields
  '{"auth":"dTpw","username":"x","password":"y"}',
  // names in another case, including the long s (U+017F), which equals s in Go's decoder
  '{"AUTH":"dTpw"}',
  '{"\\u0041uth":"dTpw"}',
  '{"U\\u017fername":"u","pas\\u017fword":"p","EMAIL":"e"}',
  '{"auth\\u017f":1,"a\\u0075th ":2,"\\u0130":3}',
  // one field twice
  '{"auth":"dTpw","auth":null}',
  '{"auth":null,"auth":"dTpw"}',
  '{"auth":"!","auth":"dTpw"}',
  '{"auth":"dTpw","auth":"!"}',
  '{"auth":5,"auth":"dTpw"}',
  '{"auth":"dTpx","Auth":"dTpw"}',
  '{"Auth":"dTpw","auth":"dTpx"}',
  '{"auth":"dTpx","Auth":"dTpw","auth":"dTpz"}',
  '{"username":"a","USERNAME":"b","username":null,"password":"p"}',
  // values of other types
  ...['5', '-0', '1e400', 'true', '[]', '{}', '["dTpw"]'].flatMap((value) =>
    ['auth', 'Username', 'password', 'email'].map((name) => `{"${name}":${value}}`),
  ),
  ...['5', 'true', '"dTpw"', '[]', '[{}]', '""'],
  // text that JSON.parse and Go's decoder represent differently
  '{"username":"\\ud800","password":"\\udc00\\ud800x"}',
  '{"username":"\\ud83d\\ude00","password":"\u2028\u007f\\u0000"}',
  '{"username":"\\"},","password":"\\\\"}',
  // unknown fields
  '{"auth":"dTpw","identitytoken":{"a":[1,{"__proto__":{"x":1}}]},"__proto__":{"auth":5},"toJSON":1}',
  '{"auth":"dTpw","number":12345678901234567890,"zero":-0,"huge":1e999}',
  `{"auth":"dTpw","deep":${nested(99)}}`,
  `{"auth":"dTpw","deep":${nested(101)}}`,
  `{"auth":"dTpw","deep":${nested(9_997)}}`,
  `{"auth":"dTpw","deep":${nested(9_998)}}`,
  `{"auth":${nested(9_997)}}`,
  `{"auth":"dTpw","deep":${nested(50_000)}}`,
];

/** Whole documents. */
export const fixedDocuments: readonly string[] = [
  editedByUser,
  '{}',
  'null',
  ' \t\r\n{ "auths" : { "a" : { "auth" : "dTpw" } } }\n',
  '{"auths":null}',
  '{"auths":{}}',
  '{"Auths":{"a":{"auth":"dTpw"}}}',
  '{"auth\\u017f":{"a":{"auth":"dTpw"}}}',
  '{"auths":{"a":{"auth":"dTpw"}},"AUTHS":{"b":{"auth":"dTpw"}}}',
  '{"auths":{"a":{"auth":"dTpw"}},"auths":{"a":{"auth":"dTpx"}}}',
  '{"auths":{"a":{"auth":"dTpw"},"a":{"username":"u"}}}',
  '{"auths":{"a":{"auth":"dTpw"},"a":null}}',
  '{"auths":{"a":{"auth":"dTpw"}},"auths":null}',
  '{"auths":null,"auths":{"a":{"auth":"dTpw"}}}',
  '{"auths":{"a":{"auth":"dTpw"}},"auths":[]}',
  '{"auths":{"A.example":{"auth":"dTpw"},"a.example":{"auth":"dTpx"}}}',
  '{"auths":{"\\ud800":{"auth":"dTpw"},"\\udfff":{"auth":"dTpx"},"\\ufffd":{"auth":"dTpy"}}}',
  '{"auths":{"\\udfff":{"auth":"dTpw"},"\\ud800":{"auth":"dTpx"}}}',
  '{"auths":{"__proto__":{"auth":"dTpw"},"constructor":{"auth":"dTpw"},"":{"auth":"dTpw"},"1":{"auth":"dTpw"}}}',
  '{"auths":{"https://a.example/v1/":{"auth":"dTpw"},"a b":{"auth":"dTpw"},"*.example:443/x?y#z":{"auth":"dTpw"}}}',
  '{"auths":{"a":{"auth":"dTpw"}},"HttpHeaders":{"User-Agent":"x","y":null},"credsStore":1}',
  '{"auths":{"a":{"auth":"dTpw"}},"HttpHeaders":{"x":1}}',
  '{"auths":{"a":{"auth":"dTpw"}},"HTTPHeader\\u017f":[]}',
  `{"auths":{"a":{"auth":"dTpw"}},"x":${nested(9_999)}}`,
  `{"auths":{"a":{"auth":"dTpw"}},"x":${nested(10_000)}}`,
  `{"auths":${nested(20_000)}}`,
  nested(10_001),
  // the legacy form, of the type kubernetes.io/dockercfg
  '{"a.example":{"auth":"dTpw"}}',
  // not a document
  ...[
    '',
    ' ',
    '[]',
    '3',
    '"auths"',
    '\ufeff{"auths":{}}',
    '{"auths":{}} x',
    '{"auths":{}}{}',
    '{"auths":{}',
    "{'auths':{}}",
  ],
  ...[
    '{"auths":{}}\u00a0',
    '{"auths":{"a":{"auth":"dT\npw"}}}',
    '{"auths":{"a":{"auth":01}}}',
    '{"auths":{"a":{},}}',
  ],
];

const anyCase = (name: string) =>
  fc
    .array(fc.constantFrom('lower', 'upper', 'long', 'escaped'), {
      minLength: name.length,
      maxLength: name.length,
    })
    .map((forms) =>
      quoted(
        [...name].map((letter, index) => (forms[index] === 'upper' ? letter.toUpperCase() : letter)).join(''),
      )
        .replaceAll('s', () => (forms.includes('long') ? '\u017f' : 's'))
        .replace('u', () => (forms[0] === 'escaped' ? '\\u0075' : 'u')),
    );

const name = (known: string) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(quoted(known)) }, anyCase(known));

const authText = fc.oneof(
  { weight: 4, arbitrary: fc.string().map((text) => base64(`u:${secretMarker}${text}`)) },
  fc.string({ unit: fc.constantFrom('d', 'T', 'p', 'w', 'O', 'g', '=', '\n', '\r', ' ', '\t', '-', '\0') }),
  fc.base64String(),
  fc.string({ unit: 'binary' }),
);
const text = fc.oneof(
  fc.string().map((value) => quoted(secretMarker + value)),
  fc.string({ unit: 'binary' }).map(quoted),
  fc.constantFrom('"\\ud800"', '"\\udc00\\ud800"', '""'),
);
const otherValue = fc.oneof(
  { weight: 3, arbitrary: fc.constant('null') },
  fc.constantFrom(
    '0',
    '-0',
    '1e400',
    '12345678901234567890',
    'true',
    '[]',
    '{}',
    '[null]',
    '{"auth":"dTpw"}',
  ),
  fc.json(),
  fc.constantFrom(98, 99, 100, 101, 9_997, 9_998).map(nested),
);
const field = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(name('auth'), fc.oneof({ weight: 4, arbitrary: authText.map(quoted) }, otherValue)),
  },
  fc.tuple(
    fc.constantFrom('username', 'password', 'email').chain(name),
    fc.oneof({ weight: 4, arbitrary: text }, otherValue),
  ),
  fc.tuple(fc.oneof(fc.string().map(quoted), fc.constant('"__proto__"')), fc.oneof(text, otherValue)),
);
const space = fc.constantFrom('', ' ', '\n\t');
const entry = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(fc.array(field, { maxLength: 5 }), space).map(([fields, gap]) => object(fields, gap)),
  },
  { weight: 2, arbitrary: fc.constantFrom(...fixedEntries) },
  otherValue,
);
const registry = fc.oneof(
  fc
    .constantFrom(ecrHost, 'a.example', 'A.example', 'https://a.example/v1/', '\ufffd', '__proto__', '')
    .map(quoted),
  fc.constantFrom('"\\ud800"', '"\\u0061.example"'),
  fc.string({ unit: 'binary' }).map(quoted),
);
const auths: fc.Arbitrary<Auths> = fc.oneof(
  { weight: 9, arbitrary: fc.array(fc.tuple(registry, entry), { maxLength: 4 }) },
  fc.constant(null),
);
const unused = fc.tuple(
  fc.constantFrom('"credsStore"', '"HttpHeaders"', '"httpheaders"', '"a.example"'),
  fc.oneof(fc.constantFrom('{"x":"y"}', '{"x":null}', '{"x":1}'), otherValue),
);

/** Documents with one or more `auths`, together with their members, so that each entry can be checked separately. */
export const dockerConfig: fc.Arbitrary<DockerConfigCase> = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.array(fc.tuple(name('auths'), auths), { minLength: 1, maxLength: 1 }) },
      fc.array(fc.tuple(name('auths'), auths), { maxLength: 3 }),
    ),
    fc.array(unused, { maxLength: 1 }),
    space,
  )
  .map(([groups, others, gap]) => ({
    auths: groups.map(([, members]) => members),
    text: object(
      [
        ...others,
        ...groups.map(([key, members]) => [key, members === null ? 'null' : object(members, gap)] as const),
      ],
      gap,
    ),
  }));

/** Arbitrary text, in most cases a document with some characters removed or replaced. */
export const brokenDocument: fc.Arbitrary<string> = fc.oneof(
  fc
    .tuple(
      dockerConfig,
      fc.nat(),
      fc.nat({ max: 8 }),
      fc.constantFrom('', '"', ',', '{', '}', '\\', '\ufeff', '\0'),
    )
    .map(([{ text: whole }, at, length, instead]) => {
      const from = at % (whole.length + 1);
      return whole.slice(0, from) + instead + whole.slice(from + length);
    }),
  fc.json(),
  fc.string(),
);
