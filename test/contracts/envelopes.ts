import type { JWTPayload } from 'jose';
import { apiKeyText } from '../../src/access/tokens.ts';

/** An operation full of what must not be told, in both ways that it can be written. */
export interface Planted {
  /** The name of the mutation. */
  readonly mutation: string;
  /** With its arguments as variables. */
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  /** With its arguments in the document. */
  readonly inline: string;
}

export interface Sending {
  readonly method?: string;
  readonly url?: string;
  readonly body?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  /** Claims of the token, where another than the usual is sent. */
  readonly claims?: JWTPayload;
  readonly scopes?: readonly string[];
  /** Signed with another key. */
  readonly isForged?: boolean;
}

const json = (body: unknown, more: Sending = {}): Sending => ({ body: JSON.stringify(body), ...more });
const times = (count: number, text: (index: number) => string) => Array.from({ length: count }, (_, index) => text(index)).join(' ');

/**
 * Ways to get a request wrong, whatever it asks for: each must be refused, and who reads the answer or the log learns nothing of what was in
 * it. `word` makes a word to look for.
 */
export function envelopes({ mutation, query, variables, inline }: Planted, word: () => string): Readonly<Record<string, Sending>> {
  const whole = JSON.stringify({ query, variables });
  const document = (text: string, more: Sending = {}) => json({ query: text, variables }, more);
  const fields = inline.slice(inline.indexOf('{') + 1, inline.lastIndexOf('}'));
  const parameters = (more: Record<string, string>) => `http://gateway.test/graphql?${new URLSearchParams(more)}`;
  const form = new FormData();
  form.set('operations', whole);
  form.set('map', JSON.stringify({ [word()]: [`variables.${word()}`] }));
  form.set(word(), new Blob([word()]), word());
  return {
    // What a request is made of.
    'a form with files': { body: form, headers: { 'content-type': '' } },
    'a form': { body: new URLSearchParams({ query: inline }).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    'plain text': { body: whole, headers: { 'content-type': 'text/plain' } },
    'a bare document': { body: inline, headers: { 'content-type': 'application/graphql' } },
    'a content type that is none': { body: whole, headers: { 'content-type': word() } },
    'a batch': json([{ query, variables }, { query: inline }]),
    'a batch in a batch': json([[{ query, variables }]]),
    'half of the JSON': { body: whole.slice(0, whole.length / 2) },
    'all but the last of the JSON': { body: whole.slice(0, -1) },
    'more than the JSON': { body: `${whole}${word()}` },
    'JSON in a text': { body: JSON.stringify(whole) },
    'JSON with single quotes': { body: whole.replaceAll('"', "'") },
    'a body that is not UTF-8': {
      body: Buffer.concat([Buffer.from(whole.slice(0, 40)), Buffer.from([0xff, 0xfe, 0x80]), Buffer.from(whole.slice(40))]),
    },
    'a body said to be compressed': { body: whole, headers: { 'content-encoding': 'gzip' } },
    'a body in an unknown coding': { body: `${whole}${word()}`, headers: { 'content-encoding': word() } },
    'a persisted query': json({ variables, extensions: { persistedQuery: { version: 1, sha256Hash: word() } } }),
    'a query that is an object': json({ query: { [word()]: query }, variables }),
    'variables in a text': json({ query, variables: JSON.stringify(variables) }),
    'variables in a list': json({ query, variables: [variables] }),
    'extensions that are a text': json({ query, variables, extensions: word() }),
    'a member that no request has': json({ query, variables, [word()]: word() }),
    'a body beyond the limit': json({ query, variables, operationName: word().repeat(100_000) }),
    'by GET': { method: 'GET', url: parameters({ query, variables: JSON.stringify(variables) }) },
    'by GET, in the document': { method: 'GET', url: parameters({ query: inline }) },
    'by GET, with half of the variables': { method: 'GET', url: parameters({ query, variables: JSON.stringify(variables).slice(0, -1) }) },
    'by PUT': json({ query, variables }, { method: 'PUT' }),
    'by a method of its own': json({ query, variables }, { method: word() }),
    'to another path': json({ query, variables }, { url: `http://gateway.test/graphql/${word()}` }),
    'from the page of another origin': json({ query, variables }, { headers: { origin: `https://${word()}.example` } }),

    // Who asks.
    'without a token': json({ query, variables }, { headers: { authorization: '' } }),
    'with a token that is none': json({ query, variables }, { headers: { authorization: `Bearer ${word()}` } }),
    'with a token in parts': json({ query, variables }, { headers: { authorization: `Bearer ${word()}.${word()}.${word()}` } }),
    'with a password': json(
      { query, variables },
      { headers: { authorization: `Basic ${Buffer.from(`ada:${word()}`).toString('base64')}` } },
    ),
    'with an API key that is none': json({ query, variables }, { headers: { authorization: `Bearer cgk_${word()}.${word()}.${word()}` } }),
    'with an API key of nobody': json({ query, variables }, { headers: { authorization: `Bearer ${keyOfNobody(word())}` } }),
    'with an API key of nobody, as a password': json(
      { query, variables },
      { headers: { authorization: `Basic ${Buffer.from(`${word()}:${keyOfNobody(word())}`).toString('base64')}` } },
    ),
    'with a scheme that is none': json({ query, variables }, { headers: { authorization: `${word()} ${word()}` } }),
    'with a forged token': json({ query, variables }, { isForged: true, claims: { sub: word(), [word()]: word() } }),
    'with an expired token': json({ query, variables }, { claims: { sub: word(), exp: 1_000_000_000 } }),
    'with a token of another audience': json({ query, variables }, { claims: { sub: word(), aud: word() } }),
    'with a token of an organization that cannot be': json({ query, variables }, { claims: { organization: `${word()} ${word()}` } }),
    'with a token that lacks the scope': json({ query, variables }, { scopes: ['integrations.get'] }),
    'with a token of scopes that are none': json({ query, variables }, { scopes: [word(), `${word()}.get`] }),

    // How the document is written.
    'a bracket too many': document(`${inline} }`),
    'a bracket too few': document(inline.slice(0, inline.lastIndexOf('}'))),
    'a text that ends nowhere': document(inline.replace(/"(?=[^"]*$)/, '')),
    'a text between': document(inline.replace('{', `{ "${word()}" `)),
    'a bad escape': document(inline.replace('{', `{ a(b: "${word()}\\q${word()}") `)),
    'a block text that ends nowhere': document(`${inline} """${word()}`),
    'a number that runs into a word': document(inline.replace('{', `{ a(b: 12${word()}) `)),
    'a control character': document(inline.replace('{', `{ \u0007${word()} `)),
    'nothing but a word': document(word()),
    'nothing but a comment': document(`# ${word()}`),
    'an unknown field': document(inline.replace('{', `{ ${word()} `)),
    'an unknown field of the answer': document(`mutation { ${mutation} { ${word()} } }`),
    'an unknown field under an alias': document(inline.replace('{', `{ ${word()}: ${word()} `)),
    'an unknown argument': document(inline.replace('{', `{ ${mutation}(${word()}: "${word()}") { __typename } `)),
    'an argument twice': document(`mutation { ${mutation}(input: "${word()}", input: "${word()}") { __typename } }`),
    'no arguments but in a comment': document(`mutation { ${mutation} { __typename } } # ${word()}`),
    'an alias twice': document(`mutation { ${word()}: __typename ${fields} result: __typename }`),
    'two operations of one name': document(`mutation ${mutation} { ${fields} } mutation ${mutation} { ${fields} } # ${word()}`),
    'two operations of one strange name': document(((name) => `mutation ${name} { ${fields} } mutation ${name} { ${fields} }`)(word())),
    'two operations, none chosen': document(`mutation ${word()} { ${fields} } mutation ${word()} { ${fields} }`),
    'an operation that there is not': json({ query: `mutation ${word()} { ${fields} }`, operationName: word() }),
    'a subscription': document(`subscription ${word()} { ${fields} }`),
    'a query': document(`query ${word()} { ${fields} }`),
    'a definition of a type': document(`type ${word()} { ${word()}: Int } ${inline}`),
    'an extension of a type': document(`extend type Mutation { ${word()}: Int } ${inline}`),
    'an unknown fragment': document(inline.replace('{', `{ ...${word()} `)),
    'an unused fragment': document(`${inline} fragment ${word()} on Mutation { __typename }`),
    'a fragment twice': document(
      ((name) => `${times(2, () => `fragment ${name} on Mutation { ${fields} }`)} mutation { ...${name} }`)(word()),
    ),
    'a fragment in itself': document(((name) => `mutation { ...${name} } fragment ${name} on Mutation { ${fields} ...${name} }`)(word())),
    'a fragment on an unknown type': document(`mutation { ...F ${fields} } fragment F on ${word()} { __typename }`),
    'a fragment on a scalar': document(`mutation { ...${mutation} ${fields} } fragment ${mutation} on String { ${word()} }`),
    'a fragment where it cannot be': document(
      ((name) => `mutation { ...${name} ${fields} } fragment ${name} on Integration { name }`)(word()),
    ),
    'an unknown directive': document(inline.replace('{', `@${word()}(${word()}: "${word()}") {`)),
    'a directive with a text for a truth': document(inline.replace('{', `{ __typename @include(if: "${word()}") `)),
    'a directive with a word for a truth': document(inline.replace('{', `{ __typename @skip(if: ${word()}) `)),
    'a directive with an unknown argument': document(inline.replace('{', `{ __typename @skip(if: true, ${word()}: "${word()}") `)),
    'a directive where it cannot be': document(inline.replace('{', `{ __typename @deprecated(reason: "${word()}") `)),
    'a directive twice': document(inline.replace('{', `{ a: __typename @include(if: true) @include(if: true) # ${word()}\n`)),
    'a variable that is not declared': document(inline.replace('{', `{ ${mutation}(input: $${word()}) { __typename } `)),
    'a variable that is not used': document(inline.replace('{', `($${word()}: String = "${word()}") {`)),
    'a variable of an unknown type': document(inline.replace('{', `($a: ${word()}) { a(b: $a) `)),
    'a variable of an object type': document(inline.replace('{', `($${word()}: Mutation) {`)),
    'a variable twice': document(inline.replace('{', ((name) => `($${name}: Int, $${name}: Int) {`)(word()))),
    'a variable where it cannot be': document(
      inline.replace('{', ((name) => `($${name}: Int = 1) { ${mutation}(input: $${name}) { __typename } `)(word())),
    ),
    'a variable as a default': document(inline.replace('{', `($a: String = $${word()}) {`)),
    'a scalar with fields': document(inline.replace('{', `{ __typename { ${word()} } `)),
    'an object without fields': document(`mutation { ${word()}: ${mutation} }`),

    // What is beyond the limits.
    'too many tokens': document(`${inline} query ${word()} { ${`${word()} `.repeat(4_000)} }`),
    'too many comments': document(`${`# ${word()}\n`.repeat(4_001)}${inline}`),
    'too many aliases': document(`mutation { ${fields} ${times(60, () => `${word()}: __typename`)} }`),
    'too many directives': document(inline.replace('{', `{ __typename ${times(60, () => `@${word()}`)} `)),
    'too many root fields': document(`mutation { ${fields} ${times(40, () => word())} }`),
    'too deep': document(`mutation { ${fields} ${times(30, () => `${word()} {`)} a ${'}'.repeat(30)} }`),
    'too deeply nested': document(`mutation { ${fields} a(b: ${'['.repeat(80)}"${word()}"${']'.repeat(80)}) }`),
    'a list too long': document(`mutation { ${mutation}(input: [${times(300, () => `"${word()}"`)}]) { __typename } ${fields} }`),
    'a list too long, in a variable': json({
      query,
      variables: { ...variables, [Object.keys(variables)[0]!]: Array.from({ length: 300 }, word) },
    }),
    'one field too often': document(`mutation { ${fields} ${times(101, () => `result: ${mutation} # ${word()}\n`)} }`),
  };
}

const keyOfNobody = (word: string) => apiKeyText({ organizationId: word, id: '0'.repeat(24), secret: word.padEnd(43, '0') });

/** Ways to send a request in which something to look for stands where it does no harm: it is carried out, or refused for what it asks. */
export function harmlessEnvelopes({ query, variables }: Planted, word: () => string): Readonly<Record<string, Sending>> {
  const headers = (more: Record<string, string>) => json({ query, variables }, { headers: more });
  return {
    'in headers': headers({
      cookie: `session=${word()}`,
      'x-api-key': word(),
      referer: `http://x/${word()}`,
      'user-agent': word(),
      'x-forwarded-for': word(),
    }),
    'as the id of a request': headers({ 'x-request-id': word(), traceparent: `00-${word()}-${word()}-01` }),
    'as a kind of answer': headers({ accept: `${word()}/${word()}` }),
    'as a stream of events': headers({ accept: 'text/event-stream', 'last-event-id': word() }),
    'as an answer in parts': headers({ accept: 'multipart/mixed' }),
    'as a character set': headers({ 'content-type': `application/json; charset=${word()}` }),
    'in a parameter': json({ query, variables }, { url: `http://gateway.test/graphql?${word()}=${word()}` }),
    'in a comment': json({ query: `# ${word()}\n${query} # ${word()}`, variables }),
    'as the name of an operation': json(
      ((name) => ({ query: query.replace('mutation', `mutation ${name}`), variables, operationName: name }))(word()),
    ),
    'in variables that nothing uses': json({ query, variables: { ...variables, [word()]: { [word()]: word() } } }),
    'in extensions': json({ query, variables, extensions: { [word()]: word() } }),
    'as a prototype': { body: JSON.stringify({ query, variables }).replace(/^\{"query"/, `{"__proto__":{"a":"${word()}"},"query"`) },
  };
}
