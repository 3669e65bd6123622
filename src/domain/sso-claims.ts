import { type Choices, choice, flag, float, integer, objectList, objectType, text, textList } from '../fields/field.ts';
import type { Contact, EndUserRecord } from '../store/end-user.ts';
import type { SSOClaimSettings, SSOUserField } from '../store/integration.ts';
import { nameText } from './fields.ts';

const ssoExternalId = {
  enumName: 'SSOExternalId',
  description: 'The id by which Zendesk knows a user, even when the address changes.',
  values: {
    CONTACT: 'The end user’s external id and the contact’s type, as in `account-1:billing`: each contact is a user of its own.',
    END_USER:
      'The end user’s external id alone. Only where all contacts of an end user are one person: otherwise Zendesk takes them for one, and each sees what another wrote.',
    NONE: 'No id: Zendesk knows users by their addresses.',
  },
} as const satisfies Choices;

/** A custom user field of Zendesk. */
export const ssoUserField = objectType({
  typeName: 'SSOUserField',
  inputName: 'SSOUserFieldInput',
  description: 'A custom user field and its value. At most one value is set; with none, Zendesk clears the field.',
  fields: {
    name: text({ description: 'Its key in Zendesk: letters, digits and underscores.', maxLength: 255, format: 'identifier' }),
    text: text({
      optional: true,
      minLength: 0,
      maxLength: 1_024,
      format: 'any',
      description: 'Its value, if that is a text, a date as yyyy-mm-dd, or the tag of a choice.',
    }),
    number: float({ optional: true, description: 'Its value, if that is a number.' }),
    flag: flag({ optional: true, description: 'Its value, if that is a checkbox.' }),
  },
  check({ text, number, flag }) {
    const isOne = [text, number, flag].filter((value) => value !== null).length <= 1;
    return isOne ? [] : [{ path: [], message: 'must have one value at most' }];
  },
});

/** What an integration adds to the claims of its end users. There is no `role`: it would change who the user is in Zendesk. */
export const ssoClaims = objectType({
  typeName: 'SSOClaims',
  inputName: 'SSOClaimsInput',
  description:
    'What an integration tells Zendesk of its end users, beyond who they are. There is no role: it would make agents and administrators.',
  fields: {
    organization: text({
      ...nameText,
      optional: true,
      description:
        'The name of the Zendesk organization that the user is put into. It must exist there, or Zendesk ignores it. Null if not set.',
    }),
    locale: integer({ optional: true, min: 1, max: 2 ** 31 - 1, description: 'The number of a Zendesk locale. Null: Zendesk chooses.' }),
    tags: textList({
      optional: true,
      maxItems: 50,
      maxLength: 100,
      format: 'tag',
      description:
        'Replace the tags that the user has in Zendesk; `[]` removes them all. Null: they stay. Letters, digits, `_`, `-` and `/`.',
    }),
    userFields: objectList(ssoUserField, {
      optional: true,
      maxItems: 50,
      uniqueBy: 'name',
      description: 'Custom user fields. Null: none are sent. Zendesk ignores keys that it does not know.',
    }),
    sendPhone: flag({
      optional: true,
      default: false,
      description: 'Whether the contact’s phone number is sent, if it is an international one such as +12105550100.',
    }),
    externalId: choice({
      choices: ssoExternalId,
      optional: true,
      default: 'CONTACT',
      description: 'Which id Zendesk is given for a user.',
    }),
  },
});

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
