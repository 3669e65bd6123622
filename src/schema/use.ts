import { type AuthorizedRequest, authorizeRequest, authorizeRequestFields } from '../domain/authorize-request.ts';
import { credentialPurpose } from '../domain/credential-use.ts';
import type { ConnectionRecord } from '../domain/reading.ts';
import type { PlanProblem, PlanStep, UsePlan } from '../domain/use.ts';
import {
  asSentence,
  CredentialNotUsableError,
  NotFoundError,
  notUsable,
  ServiceFailedError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import { formats } from '../fields/formats.ts';
import type { Redacted } from '../redacted.ts';
import type { OutputBuilder } from './kit/builder.ts';
import { notUsableReason } from './kit/closed-sets.ts';
import type { CostExtensions } from './kit/cost.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

const planType = shared(({ builder, credential }: Kit) => {
  const location = builder.enumType('RequestPlanLocation', {
    description: 'Where a credential adds something to a request.',
    values: {
      HEADER: { description: 'A header.' },
      QUERY: { description: 'A query parameter.' },
      COOKIE: { description: 'A cookie.' },
      PATH: { description: 'A segment of the path, which the sender writes as a placeholder.' },
      CLIENT_CERTIFICATE: { description: 'A TLS client certificate.' },
    } as const,
  });
  const step = builder.objectRef<PlanStep>('RequestPlanStep').implement({
    description: 'What a credential adds to a request.',
    fields: (t) => ({
      credentialId: t.id({
        description: 'The global id of the credential.',
        resolve: ({ credentialId }) => encodeId('credential', credentialId),
      }),
      credential: credential.related(t, {
        description: 'The credential. Null if it is hidden from the viewer or has expired.',
        id: ({ credentialId }) => credentialId,
      }),
      location: t.field({ type: location, description: 'Where it is added.', resolve: (source) => source.location }),
      name: t.exposeString('name', {
        nullable: true,
        description: 'The name of the header, query parameter or cookie. Null for a client certificate and a path.',
      }),
      value: t.exposeString('value', { description: 'What is added, with every secret replaced by `*****`, such as `Bearer *****`.' }),
    }),
  });
  const problem = builder.objectRef<PlanProblem>('RequestPlanProblem').implement({
    description: 'Why requests cannot be sent over the connection.',
    fields: (t) => ({
      code: t.expose('code', { type: notUsableReason(builder), description: 'A stable code for programs.' }),
      message: t.string({
        description: 'A text for people.',
        resolve: ({ code }) => asSentence(notUsable[code]),
      }),
      credentialId: t.id({
        nullable: true,
        description: 'The global id of the credential. Null if it is about the connection.',
        resolve: ({ credentialId }) => credentialId && encodeId('credential', credentialId),
      }),
      credential: credential.related(t, {
        description: 'The credential. Null if it is about the connection, or the credential is hidden from the viewer or has expired.',
        id: ({ credentialId }) => credentialId,
      }),
    }),
  });
  return builder.objectRef<UsePlan>('RequestPlan').implement({
    description:
      'How the credentials of a connection are applied to requests. No secret is opened for it, and nothing is sent. It can change until a request is sent.',
    fields: (t) => ({
      steps: t.field({
        type: [step],
        nullable: true,
        description:
          'What is added, in the order of application: that of the connection, with signatures after what they cover. Null only without the scope. Scope: `credentials.get`.',
        authScopes: { scope: 'credentials.get' },
        resolve: ({ steps }) => steps,
      }),
      problems: t.field({
        type: [problem],
        nullable: true,
        description:
          'Everything that prevents requests and that can be known without opening a secret or asking anybody. Null only without the scope. Scope: `credentials.get`.',
        authScopes: { scope: 'credentials.get' },
        resolve: ({ problems }) => problems,
      }),
      baseUrl: t.string({
        nullable: true,
        description:
          'The URL below which the paths of `/proxy` and `authorizeRequest` begin, with the variables of the connection in it. Null without the scope, or if it is not known where the connection leads. Scope: `connectors.get`.',
        authScopes: { scope: 'connectors.get' },
        resolve: ({ baseUrl }) => baseUrl?.href ?? null,
      }),
      allowedHosts: t.stringList({
        nullable: true,
        description:
          'The hosts that requests may go to: where the connection leads, if all its credentials allow that. Null only without the scope. Scope: `connectors.get`.',
        authScopes: { scope: 'connectors.get' },
        resolve: ({ allowedHosts }) => [...allowedHosts],
      }),
      permits: t.boolean({
        description:
          'Whether a request to this URL can be authorized: there are no problems, the scheme, host and port are the allowed ones, and the `uriMatch` of a credential, if it has one, covers the URL.',
        args: {
          url: t.arg.string({ required: true, description: 'An absolute URL, or a path below `baseUrl` that begins with a slash.' }),
        },
        resolve: (plan, { url }) => {
          const meant = formats.sentUrl.accepts(url) ? plan.urlOf(url) : null;
          return meant !== null && plan.permits(meant);
        },
      }),
    }),
  });
});

/** Returns the field for the plan of a connection. */
export function requestPlanField(kit: Kit, t: OutputBuilder<ConnectionRecord>) {
  return t.field({
    type: planType(kit),
    description: 'How its credentials are applied to requests.',
    extensions: { cost: { own: 3 } } satisfies CostExtensions,
    args: {
      purpose: t.arg({
        type: kit.fields.enumOf(credentialPurpose),
        defaultValue: 'ACTION',
        required: true,
        description: 'What the requests are for: `ACTION` or `TRIGGER`.',
      }),
    },
    resolve: (connection, { purpose }, { loaders }) => loaders.requestPlan.load({ connection, purpose }),
  });
}

/** Adds `authorizeRequest`. */
export function addUse(kit: Kit): void {
  const { builder, connection, fields, mutation } = kit;
  type Pair = readonly [name: string, value: Redacted];
  const addition = builder.objectRef<Pair>('RequestAddition').implement({
    description: 'A header or a query parameter that a credential adds.',
    fields: (t) => ({
      name: t.string({ description: 'The name.', resolve: ([name]) => name }),
      value: t.string({
        description: 'The value, in plaintext. It is a secret: do not log or store it.',
        resolve: ([, value]) => plain(value),
      }),
    }),
  });
  const certificate = builder
    .objectRef<NonNullable<AuthorizedRequest['prepared']['clientCertificate']>>('RequestClientCertificate')
    .implement({
      description: 'A TLS client certificate to present to the service.',
      fields: (t) => ({
        certificates: t.exposeString('certificates', { description: 'The certificate and those of its issuers, in PEM.' }),
        privateKey: t.string({
          description: 'The private key in PEM. It is a secret: do not log or store it.',
          resolve: ({ privateKey }) => plain(privateKey),
        }),
      }),
    });
  const authorized = builder.objectRef<AuthorizedRequest>('AuthorizedRequest').implement({
    description: 'What the credentials of a connection add to one request, in plaintext. Do not log or cache it.',
    authScopes: { scope: 'connections.use' },
    fields: (t) => ({
      connectionId: t.id({
        description: 'The global id of the connection.',
        resolve: ({ connection: { id } }) => encodeId('connection', id),
      }),
      connection: connection.related(t, {
        description: 'The connection. Null if it was deleted meanwhile.',
        id: ({ connection: { id } }) => id,
      }),
      url: t.string({
        description: 'The URL to send the request to, with the added query parameters. It can contain secrets.',
        resolve: ({ prepared }) => plain(prepared.url),
      }),
      headers: t.field({
        type: [addition],
        description: 'The headers to set. Each replaces any of its name; `Cookie` contains the given cookies, too.',
        resolve: ({ prepared }) => prepared.headers,
      }),
      query: t.field({
        type: [addition],
        description: 'The query parameters that are added. `url` has them already.',
        resolve: ({ prepared }) => prepared.query,
      }),
      clientCertificate: t.field({
        type: certificate,
        nullable: true,
        description: 'The client certificate to present. Null if there is none.',
        resolve: ({ prepared }) => prepared.clientCertificate,
      }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'From when on the service may refuse the request, because a token or a signature runs out. Null if that is not known.',
        resolve: ({ prepared }) => prepared.expiresAt,
      }),
    }),
  });
  mutation('authorizeRequest', {
    description:
      'Returns what the credentials of a connection add to one request: for back ends that send requests themselves. Signatures are computed for this request, and tokens are obtained. It is a mutation because it writes an audit entry, and because the response must not be cached. No wildcard covers its scope. The request may only go to the hosts that the connection and its credentials allow.',
    scope: 'connections.use',
    cost: 250,
    perRequest: 1,
    inputDescription: 'The connection, and the request.',
    input: {
      connection: connection.member({ required: true, description: 'The connection to send the request over.' }),
      ...fields.inputFields(authorizeRequestFields),
    },
    success: { field: 'request', type: authorized, description: 'What to add to the request. It is returned only once.' },
    errors: [ValidationError, NotFoundError, CredentialNotUsableError, ServiceFailedError, UnreadableSecretError],
    audit: 'connection',
    run: authorizeRequest,
  });
}

function plain(secret: Redacted): string {
  return secret.expose();
}
