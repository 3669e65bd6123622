import { z } from 'zod';
import type { Contact, EndUserRecord } from '../store/end-user.ts';
import type { SSOClaimSettings, SSOUserField } from '../store/integration.ts';
import { nameText } from './validation.ts';

const userField = z
  .object({
    name: z.string().regex(/^[A-Za-z0-9_]{1,255}$/, 'must be the field’s key: 1 to 255 letters, digits and underscores'),
    text: z.string().max(1_024).nullable().default(null),
    number: z.number().nullable().default(null),
    flag: z.boolean().nullable().default(null),
  })
  .refine(({ text, number, flag }) => [text, number, flag].filter((value) => value !== null).length <= 1, 'must have one value at most');

/** What an integration adds to the claims of its end users. There is no `role`: it would change who the user is in Zendesk. */
export const ssoClaimSettings = z
  .object({
    organization: nameText.nullable().default(null),
    locale: z.int().min(1).nullable().default(null),
    tags: z
      .array(z.string().regex(/^[\p{L}\p{N}_/-]{1,100}$/u, 'must be 1 to 100 letters, digits, _, - and /'))
      .max(50)
      .nullable()
      .default(null),
    userFields: z
      .array(userField)
      .max(50)
      .refine((fields) => new Set(fields.map(({ name }) => name)).size === fields.length, 'must have each name once')
      .nullable()
      .default(null),
    sendPhone: z
      .boolean()
      .nullish()
      .transform((send) => send ?? false),
    externalId: z
      .enum(['CONTACT', 'END_USER', 'NONE'])
      .nullish()
      .transform((id) => id ?? 'CONTACT'),
  })
  .nullable();

const unset: SSOClaimSettings = {
  organization: null,
  locale: null,
  tags: null,
  userFields: null,
  sendPhone: false,
  externalId: 'CONTACT',
};

/** The claims of a Zendesk token, by the names that Zendesk gives them. They are signed, not encrypted. */
export interface SSOLinkClaims {
  /** In seconds. Zendesk takes the token within three minutes of it. */
  readonly iat: number;
  readonly jti: string;
  readonly email: string;
  readonly name: string;
  readonly external_id?: string;
  readonly phone?: string;
  readonly organization?: string;
  readonly locale?: number;
  readonly tags?: readonly string[];
  readonly user_fields?: Readonly<Record<string, string | number | boolean | null>>;
}

/** Who a contact is, as Zendesk is told. What is not set is no claim: an empty one would clear what Zendesk has. */
export function claimsOf(
  endUser: EndUserRecord,
  contact: Contact & { readonly email: string },
  settings: SSOClaimSettings | null,
): Omit<SSOLinkClaims, 'iat' | 'jti'> {
  const { organization, locale, tags, userFields, sendPhone, externalId } = settings ?? unset;
  const phone = sendPhone ? internationalNumber(contact.phone) : null;
  return {
    email: contact.email,
    name: contact.name ?? (endUser.displayName || contact.email),
    // Two contacts may be two people: with one id, Zendesk would take the second for the first, and change the first one's address.
    ...(externalId === 'CONTACT' && { external_id: `${endUser.externalId}:${contact.type.toLowerCase()}` }),
    ...(externalId === 'END_USER' && { external_id: endUser.externalId }),
    ...(phone !== null && { phone }),
    ...(organization !== null && { organization }),
    ...(locale !== null && { locale }),
    ...(tags !== null && { tags }),
    ...(userFields !== null && { user_fields: Object.fromEntries(userFields.map((field) => [field.name, valueIn(field)])) }),
  };
}

function valueIn({ text, number, flag }: SSOUserField): string | number | boolean | null {
  return text ?? number ?? flag;
}

/** A phone number as E.164 writes it, which is what Zendesk takes. Null: it is none. */
function internationalNumber(phone: string | null): string | null {
  const digits = phone?.replace(/[\s().-]/g, '') ?? '';
  return /^\+[1-9]\d{6,14}$/.test(digits) ? digits : null;
}
