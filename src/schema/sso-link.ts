import { contactType } from '../domain/end-user.ts';
import type { SSOUserField } from '../domain/reading.ts';
import { type SSOLinkClaims, ssoUserField } from '../domain/sso-claims.ts';
import { createSSOLink, linkLifetime, type SSOLink } from '../domain/sso-link.ts';
import { EmailNotVerifiedError, NotFoundError, SSONotConfiguredError, UnreadableSecretError, ValidationError } from '../errors.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `SSOLink` and the mutation that creates it. */
export function addSSOLink({ builder, connection, endUser, fields, input, mutation }: Kit): void {
  const formField = builder.objectRef<{ readonly name: string; readonly value: string }>('SSOFormField').implement({
    description: 'A hidden field of the form.',
    fields: (t) => ({
      name: t.exposeString('name', { description: '`jwt`, or `return_to` if `returnTo` was given.' }),
      value: t.exposeString('value', {
        description: 'The value. That of `jwt` is a bearer secret: the first one to post it is signed in. Do not log, store or cache it.',
      }),
    }),
  });
  const form = builder.objectRef<SSOLink>('SSOForm').implement({
    description:
      'A form that signs the user in. The user’s browser must submit it as a page navigation; a request from a script or a server does not sign the user in.',
    fields: (t) => ({
      action: t.string({
        description: 'The URL to post to: `https://<subdomain>.zendesk.com/access/jwt`.',
        resolve: ({ endpoint }) => endpoint,
      }),
      method: t.string({ description: 'Always `POST`.', resolve: () => 'POST' }),
      fields: t.field({
        type: [formField],
        description: 'The hidden fields. Their order does not matter.',
        resolve: (link) => formFields(link).map(([name, value]) => ({ name, value })),
      }),
    }),
  });
  const claims = builder.objectRef<SSOLinkClaims>('SSOLinkClaims').implement({
    description: 'The claims of the token. They are signed but not encrypted: they contain personal data but no secrets.',
    fields: (t) => ({
      iat: t.exposeInt('iat', {
        description: 'When the token was created, in seconds since 1970. Zendesk accepts the token for three minutes after it.',
      }),
      jti: t.exposeString('jti', { description: 'The id of the token. Zendesk accepts each id once.' }),
      email: t.exposeString('email', { description: 'The contact’s verified email address.' }),
      name: t.exposeString('name', {
        description: 'The name of the contact; if not set, the end user’s display name, or else the email address.',
      }),
      externalId: t.string({
        nullable: true,
        description: 'The id that identifies the user in Zendesk. Null if the integration sends none.',
        resolve: ({ external_id }) => external_id,
      }),
      phone: t.exposeString('phone', { nullable: true, description: 'The contact’s phone number. Null if not sent.' }),
      organization: t.exposeString('organization', { nullable: true, description: 'The Zendesk organization. Null if not sent.' }),
      locale: t.exposeInt('locale', { nullable: true, description: 'The number of a Zendesk locale. Null if not sent.' }),
      tags: t.exposeStringList('tags', { nullable: true, description: 'Replaces the user’s tags in Zendesk. Null if they stay the same.' }),
      userFields: t.field({
        type: [fields.objectOf(ssoUserField)],
        nullable: true,
        description: 'Custom user fields. Null if not sent.',
        resolve: ({ user_fields }) => user_fields && Object.entries(user_fields).map(([name, value]) => userFieldOf(name, value)),
      }),
    }),
  });
  const link = builder.objectRef<{ readonly href: string; readonly rel: string }>('Link').implement({
    description: 'A link to a resource.',
    fields: (t) => ({
      href: t.exposeString('href', { description: 'A URI reference, relative to the gateway’s URL.' }),
      rel: t.exposeString('rel', { description: 'The relation type of the link (RFC 8288).' }),
    }),
  });
  const ssoLink = builder.objectRef<SSOLink>('SSOLink').implement({
    description:
      'A link that signs a contact in to Zendesk once. It is not stored; if it is lost, create a new one. Called `supportSSOLink` in Hostway.',
    authScopes: { scope: 'ssoLinks.post' },
    fields: (t) => ({
      form: t.field({ type: form, description: 'The form that signs the user in. Zendesk recommends it over `url`.', resolve: (it) => it }),
      url: t.string({
        description:
          'A URL that signs in the first one to open it. Prefer `form`: URLs are recorded in browser histories and logs, and Zendesk has announced that it will stop accepting them. The URL is a bearer secret and is created only if this field is selected.',
        resolve: (it) => `${it.endpoint}?${new URLSearchParams(formFields(it))}`,
      }),
      expiresAt: t.field({
        type: 'DateTime',
        description:
          'The form must be submitted before this time. Zendesk itself accepts an unused token until three minutes after `claims.iat`.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
      jti: t.string({
        description: 'The id of the token, to find the link in the audit logs of the gateway and of Zendesk. Not a secret.',
        resolve: ({ claims }) => claims.jti,
      }),
      claims: t.field({ type: claims, description: 'The claims of the token.', resolve: (it) => it.claims }),
      links: t.field({
        type: [link],
        description:
          'Hypermedia links: `self` is the contact that the link is for. A GET with a token that has `endUsers.get` answers the end user with its contacts. It is always the same and cannot be used to sign in.',
        resolve: (it) => [{ rel: 'self', href: selfOf(it) }],
      }),
    }),
  });

  mutation('createSSOLink', {
    description:
      'Creates a link that signs a contact of an end user in to Zendesk. Its token is signed with the `jwt` or `jwtBearer` credential (HS256) of a connection whose allowed domain is `<subdomain>.zendesk.com`. The credential must list this host in its `allowedDomains`, and `SSO_SIGNING` in its `allowedPurposes`.',
    scope: 'ssoLinks.post',
    cost: 250,
    perRequest: 1,
    inputDescription: 'The contact to sign in, and the page to open.',
    input: {
      endUser: endUser.member({ required: true, description: 'The end user of the contact.' }),
      contactType: input.field({
        type: fields.enumOf(contactType),
        required: true,
        description: 'The type of the contact. Its email address must be verified.',
      }),
      connection: connection.member({
        description:
          'The connection whose credential signs the token. It must belong to the end user, or to the integration and no end user. By default, the only connection that can sign: one that belongs to no end user or, if none of these leads to Zendesk, one of the end user.',
      }),
      returnTo: input.string({
        description:
          'The page to open after the sign-in: a path such as `/hc/requests`, or an https URL on the account’s own host, which pages for agents require. A value that could lead to another host is refused. Zendesk decides by default.',
      }),
      ...fields.inputFields({ lifetimeSeconds: linkLifetime }),
    },
    success: { field: 'ssoLink', type: ssoLink, description: 'The link. It is returned only once.' },
    errors: [ValidationError, NotFoundError, EmailNotVerifiedError, SSONotConfiguredError, UnreadableSecretError],
    audit: 'endUser',
    run: createSSOLink,
  });
}

/** The form fields that the browser sends. */
function formFields({ token, returnTo }: SSOLink): [string, string][] {
  return [['jwt', token.expose()], ...(returnTo === null ? [] : [['return_to', returnTo] satisfies [string, string]])];
}

/**
 * Returns the address of the contact: a query by GET, which answers the end user with its contacts, and which of them the link is for in the form of
 * Hostway’s path. The link itself is not stored, and whoever reads an address must not get one that signs in.
 */
function selfOf({ endUserId, contactType }: SSOLink): string {
  const id = encodeId('endUser', endUserId);
  const query = `{endUser(by:{id:"${id}"}){id externalId displayName contacts{type name email emailVerified phone}}}`;
  return `/graphql?${new URLSearchParams({ query })}#/endUsers/${id}/contacts/${contactType.toLowerCase()}/supportSSOLink/`;
}

function userFieldOf(name: string, value: string | number | boolean | null): SSOUserField {
  return {
    name,
    text: typeof value === 'string' ? value : null,
    number: typeof value === 'number' ? value : null,
    flag: typeof value === 'boolean' ? value : null,
  };
}
