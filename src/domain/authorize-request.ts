import { ValidationError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import { choice, type InputOf, objectList, objectType, text } from '../fields/field.ts';
import type { ConnectionRecord } from '../store/connection.ts';
import { credentialPurpose } from './credential-use.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { type ConnectionRef, requireConnection } from './references.ts';
import { type BodyToSign, isRelative, noteUsed, type PreparedRequest, permittedUrl, planUse, prepareRequest } from './use.ts';
import { givenUrl } from './use-site.ts';
import { Checks } from './validation.ts';

const header = objectType({
  typeName: 'RequestHeader',
  inputName: 'RequestHeaderInput',
  description: 'A header of a request.',
  fields: {
    name: text({ maxLength: 255, format: 'httpToken', description: 'The name.' }),
    value: text({ minLength: 0, maxLength: 8_192, format: 'sentValue', comparedOnly: true, description: 'The value.' }),
  },
});

/** The input fields of `authorizeRequest`, except the connection. */
export const authorizeRequestFields = {
  purpose: choice({
    choices: credentialPurpose,
    optional: true,
    default: 'ACTION',
    clearable: false,
    description: 'What the request is for: `ACTION` applies the action credentials, `TRIGGER` the trigger credentials.',
  }),
  method: text({ maxLength: 32, format: 'httpToken', description: 'The method of the request, such as `GET`. Signatures cover it.' }),
  url: text({
    maxLength: 8_192,
    format: 'sentUrl',
    comparedOnly: true,
    description:
      'The absolute URL of the request, or a path below the `baseUrl` of `Connection.requestPlan`, such as `/things?page=2`. The plan also shows which hosts are allowed. Send the request to the `url` of the answer.',
  }),
  headers: objectList(header, {
    optional: true,
    default: [],
    maxItems: 100,
    description: 'The headers that the request will have. They must not contain any that the credentials set.',
  }),
  bodySha256: text({
    optional: true,
    minLength: 64,
    maxLength: 64,
    format: 'sha256',
    description:
      'The SHA-256 of the body in hexadecimal, if a signature covers it (AWS). Null if `body` is given or there is no body; `GET`, `HEAD`, `DELETE` and `OPTIONS` need none.',
  }),
  body: text({
    optional: true,
    minLength: 0,
    maxLength: 1_048_576,
    format: 'any',
    comparedOnly: true,
    description: 'The body as text, if a signature covers all of it (HMAC, Azure). It is encoded as UTF-8, and not stored.',
  }),
};

/** A request that is authorized, and the connection that it is for. */
export interface AuthorizedRequest {
  readonly connection: ConnectionRecord;
  readonly prepared: PreparedRequest;
}

/** These usually have no body. For others, a signature must not be made as if there were none because the caller forgot to give it. */
const bodiless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

/**
 * Computes what the credentials of a connection add to a request that the caller sends itself. The entry in the audit log is committed before any
 * secret is opened.
 * @throws ValidationError, NotFoundError, CredentialNotUsableError, UnreadableSecretError, ServiceFailedError
 */
export async function authorizeRequest(
  context: MutationContext,
  { connection: ref, ...given }: { readonly connection: ConnectionRef } & InputOf<typeof authorizeRequestFields>,
): Promise<AuthorizedRequest> {
  const checks = new Checks(context);
  const valid = await checks.run(() => {
    const checked = checkInput(authorizeRequestFields, given);
    if (!isRelative(checked.url) && !givenUrl(checked.url))
      throw new ValidationError([{ path: ['url'], message: 'must be a URL in its canonical form: the host in ASCII, and no backslashes' }]);
    if (checked.body !== null && checked.bodySha256 !== null)
      throw new ValidationError([{ path: ['bodySha256'], message: 'must be null if body is given' }]);
    return checked;
  });
  const find = () => requireConnection(context, ref, ['connection']);
  const plan = async () => {
    const { purpose, headers } = valid!;
    const connection = await find();
    const planned = await planUse(context, connection, purpose);
    return { id: connection.id, planned, url: permittedUrl(planned, { url: planned.urlOf(valid!.url), headers: pairs(headers) }) };
  };
  // The host is one that the connection allows, and so nothing that only the caller says.
  const { planned, url } = await checks.thenMake(
    () => mutate(context, plan, (done) => `${valid!.purpose}: ${done.url.hostname}`),
    [async () => void (await checks.run(find))],
  );
  const { method, headers, body, bodySha256 } = valid!;
  const prepared = await prepareRequest(context, planned, { method, url, headers: pairs(headers), body: bodyOf(method, body, bodySha256) });
  noteUsed(context, planned);
  return { connection: planned.connection, prepared };
}

function pairs(headers: readonly { readonly name: string; readonly value: string }[]) {
  return headers.map(({ name, value }) => [name, value] as const);
}

function bodyOf(method: string, body: string | null, sha256: string | null): BodyToSign {
  if (body !== null) return { bytes: Buffer.from(body) };
  if (sha256 !== null) return { sha256 };
  return bodiless.has(method) ? 'ABSENT' : 'NOT_READ';
}
