import { contactType } from '../domain/end-user.ts';
import type { SSOUserField } from '../domain/reading.ts';
import { type SSOLinkClaims, ssoUserField } from '../domain/sso-claims.ts';
import { createSSOLink, linkLifetime, type SSOLink } from '../domain/sso-link.ts';
import { EmailNotVerifiedError, NotFoundError, SSONotConfiguredError, UnreadableSecretError, ValidationError } from '../errors.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';

/** Adds `SSOLink` and the mutation that makes one. */
export function addSSOLink({ builder, connection, endUser, fields, input, mutation }: Kit): void {
  const formField = builder.objectRef<{ readonly name: string; readonly value: string }>('SSOFormField').implement({
    description: 'A hidden field of the form.',
    fields: (t) => ({
      name: t.exposeString('name', { description: '`jwt`, and `return_to` if the link returns somewhere.' }),
      value: t.exposeString('value', {
        description: 'Its value. That of `jwt` is a bearer secret: whoever posts it first is signed in. Do not log, store or cache it.',
      }),
    }),
  });
  const form = builder.objectRef<SSOLink>('SSOForm').implement({
    description: 'A form that the user’s browser posts as a page of its own; a request of a script or of a server signs nobody in.',
    fields: (t) => ({
      action: t.string({ description: 'Where to: `https://<subdomain>.zendesk.com/access/jwt`.', resolve: ({ endpoint }) => endpoint }),
      method: t.string({ description: 'Always `POST`.', resolve: () => 'POST' }),
      fields: t.field({
        type: [formField],
        description: 'What it holds, in any order.',
        resolve: (link) => formFields(link).map(([name, value]) => ({ name, value })),
      }),
    }),
  });
  const claims = builder.objectRef<SSOLinkClaims>('SSOLinkClaims').implement({
    description: 'What the token says of the user. Signed and not encrypted: none of it is a secret, and all of it is personal.',
    fields: (t) => ({
      iat: t.exposeInt('iat', { description: 'When it was made, in seconds. Zendesk takes the token within three minutes of it.' }),
      jti: t.exposeString('jti', { description: 'The token’s own id. Zendesk takes each once.' }),
      email: t.exposeString('email', { description: 'The contact’s verified address.' }),
      name: t.exposeString('name', { description: 'The contact’s name; without one the end user’s display name, or the address.' }),
      externalId: t.string({
        nullable: true,
        description: 'The id by which Zendesk knows the user. Null: the integration gives none.',
        resolve: ({ external_id }) => external_id,
      }),
      phone: t.exposeString('phone', { nullable: true, description: 'The contact’s phone number. Null: not sent.' }),
      organization: t.exposeString('organization', { nullable: true, description: 'The Zendesk organization. Null: not sent.' }),
      locale: t.exposeInt('locale', { nullable: true, description: 'The number of a Zendesk locale. Null: not sent.' }),
      tags: t.exposeStringList('tags', { nullable: true, description: 'The user’s tags from now on. Null: they stay.' }),
      userFields: t.field({
        type: [fields.objectOf(ssoUserField)],
        nullable: true,
        description: 'Custom user fields. Null: not sent.',
        resolve: ({ user_fields }) => user_fields && Object.entries(user_fields).map(([name, value]) => userFieldOf(name, value)),
      }),
    }),
  });
  const link = builder.objectRef<{ readonly href: string; readonly rel: string }>('Link').implement({
    description: 'A link to a resource.',
    fields: (t) => ({
      href: t.exposeString('href', { description: 'A URI reference, relative to the gateway.' }),
      rel: t.exposeString('rel', { description: 'How what it leads to is related to this (RFC 8288).' }),
    }),
  });
  const ssoLink = builder.objectRef<SSOLink>('SSOLink').implement({
    description:
      'A sign-in to Zendesk that works once, on behalf of a contact. Hostway’s `supportSSOLink`. It is not kept: what is lost is made anew.',
    authScopes: { scope: 'ssoLinks.post' },
    fields: (t) => ({
      form: t.field({ type: form, description: 'The form that signs the user in: what Zendesk asks for today.', resolve: (it) => it }),
      url: t.string({
        description:
          'The older form of the same: an address that signs in whoever opens it first. A bearer secret, and made only when this field is selected: addresses end up in histories and logs, and Zendesk has announced that it will not take them for ever. Prefer `form`.',
        resolve: (it) => `${it.endpoint}?${new URLSearchParams(formFields(it))}`,
      }),
      expiresAt: t.field({
        type: 'DateTime',
        description: 'Post it before then. Zendesk itself takes it until three minutes after `claims.iat`, if it was not used.',
        resolve: ({ expiresAt }) => expiresAt,
      }),
      jti: t.string({
        description: 'The token’s own id, to find the link in the audit log and in Zendesk’s. Not a secret.',
        resolve: ({ claims }) => claims.jti,
      }),
      claims: t.field({ type: claims, description: 'What the token says of the user.', resolve: (it) => it.claims }),
      links: t.field({
        type: [link],
        description: 'Hypermedia: `self` names what this is a link for. It is the same each time, and signs nobody in.',
        resolve: (it) => [{ rel: 'self', href: selfOf(it) }],
      }),
    }),
  });

  mutation('createSSOLink', {
    description:
      'Makes a link by which a contact of an end user signs in to Zendesk: a token, signed with the `jwt` or `jwtBearer` credential (HS256) of a connection whose allowed domain is `<subdomain>.zendesk.com`. A mutation, because it mints.',
    scope: 'ssoLinks.post',
    cost: 250,
    inputDescription: 'Who signs in, and where to.',
    input: {
      endUser: endUser.member({ required: true, description: 'On behalf of which end user.' }),
      contactType: input.field({
        type: fields.enumOf(contactType),
        required: true,
        description: 'Which of its contacts. Its mail address must be verified.',
      }),
      connection: connection.member({
        description: 'The connection that signs, of the end user’s own or of its integration’s shared ones. Absent: the only one that can.',
      }),
      returnTo: input.string({
        description:
          'Where the browser goes once it is signed in: a path such as `/hc/requests`, or an https URL on the account’s own host, which the agents’ pages need. Whatever could lead elsewhere is refused. Absent: Zendesk’s own choice.',
      }),
      ...fields.inputFields({ lifetimeSeconds: linkLifetime }),
    },
    success: { field: 'ssoLink', type: ssoLink, description: 'The link. Answered once, and never again.' },
    errors: [ValidationError, NotFoundError, EmailNotVerifiedError, SSONotConfiguredError, UnreadableSecretError],
    audit: 'endUser',
    run: createSSOLink,
  });
}

/** What the browser sends. */
function formFields({ token, returnTo }: SSOLink): [string, string][] {
  return [['jwt', token.expose()], ...(returnTo === null ? [] : [['return_to', returnTo] satisfies [string, string]])];
}

/** Names what the link is for, as Hostway’s path does. To ask again is to send the mutation again, so it leads to where that is sent. */
function selfOf({ endUserId, contactType }: SSOLink): string {
  return `/graphql#/endUsers/${encodeId('endUser', endUserId)}/contacts/${contactType.toLowerCase()}/supportSSOLink/`;
}

function userFieldOf(name: string, value: string | number | boolean | null): SSOUserField {
  return {
    name,
    text: typeof value === 'string' ? value : null,
    number: typeof value === 'number' ? value : null,
    flag: typeof value === 'boolean' ? value : null,
  };
}
