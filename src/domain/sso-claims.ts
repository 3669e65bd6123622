import { checkInput } from '../fields/check.ts';
import { type Choices, choice, flag, float, integer, objectList, objectType, text, textList } from '../fields/field.ts';
import type { Contact, EndUserRecord } from '../store/end-user.ts';
import type { SSOClaimSettings, SSOUserField } from '../store/integration.ts';
import { nameText } from './fields.ts';

const ssoExternalId = {
  enumName: 'SSOExternalId',
  description: 'The id that identifies a user in Zendesk, even if the email address changes.',
  values: {
    CONTACT: 'The end user’s external id and the contact type, such as `account-1:billing`. Each contact is a separate user.',
    END_USER:
      'The end user’s external id. Use it only if all contacts of an end user are the same person: Zendesk treats them as one user, so each sees the tickets of the others.',
    NONE: 'No id. Zendesk identifies users by email address.',
  },
} as const satisfies Choices;

/** A custom user field of Zendesk. */
export const ssoUserField = objectType({
  typeName: 'SSOUserField',
  inputName: 'SSOUserFieldInput',
  description: 'A custom user field and its value. At most one of the values is set. If none is set, Zendesk clears the field.',
  fields: {
    name: text({ description: 'The key of the field in Zendesk: letters, digits and underscores.', maxLength: 255, format: 'identifier' }),
    text: text({
      optional: true,
      minLength: 0,
      maxLength: 1_024,
      format: 'prose',
      description: 'The value, if it is a text, a date as yyyy-mm-dd, or the tag of a choice.',
    }),
    number: float({ optional: true, description: 'The value, if it is a number.' }),
    flag: flag({ optional: true, description: 'The value, if it is a checkbox.' }),
  },
  check({ text, number, flag }) {
    const isOne = [text, number, flag].filter((value) => value !== null).length <= 1;
    return isOne ? [] : [{ path: [], message: 'must have at most one value' }];
  },
});

/** The claims that an integration adds for its end users. There is no `role`, which would change the user's rights in Zendesk. */
export const ssoClaims = objectType({
  typeName: 'SSOClaims',
  inputName: 'SSOClaimsInput',
  description:
    'Additional claims that are sent to Zendesk in SSO links. A role cannot be set, because it could make users agents or administrators.',
  fields: {
    organization: text({
      ...nameText,
      optional: true,
      description:
        'The name of the Zendesk organization that the user is added to. Zendesk ignores it if it does not exist there. Null if not set.',
    }),
    locale: integer({ optional: true, min: 1, max: 2 ** 31 - 1, description: 'The number of a Zendesk locale. Null if Zendesk decides.' }),
    tags: textList({
      optional: true,
      maxItems: 50,
      maxLength: 100,
      format: 'tag',
      description: 'Replaces the user’s tags in Zendesk; `[]` removes all. Null if they stay the same. Letters, digits, `_`, `-` and `/`.',
    }),
    userFields: objectList(ssoUserField, {
      optional: true,
      maxItems: 50,
      uniqueBy: 'name',
      description: 'Custom user fields. Zendesk ignores unknown keys. Null if none are sent.',
    }),
    sendPhone: flag({
      optional: true,
      default: false,
      description: 'Whether the contact’s phone number is sent, if it is international, such as +12105550100.',
    }),
    externalId: choice({
      choices: ssoExternalId,
      optional: true,
      default: 'CONTACT',
      description: 'The id of a user that is sent to Zendesk.',
    }),
  },
});

/** The settings of an integration that has none. */
const unset: SSOClaimSettings = checkInput(ssoClaims.fields, {});

/** The claims of a Zendesk token, with Zendesk's names. They are signed, not encrypted. */
export interface SSOLinkClaims {
  /** In seconds. Zendesk accepts the token for three minutes after it. */
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

/** Returns the claims about a contact. Values that are not set are left out, because an empty claim would clear the value in Zendesk. */
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
    // Two contacts can be two people. With the same id, Zendesk would treat them as one user, and change that user's email address.
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

/** Converts a phone number to E.164, which Zendesk requires. Returns null if it is not an international number. */
function internationalNumber(phone: string | null): string | null {
  const digits = phone?.replace(/[\s().-]/g, '') ?? '';
  return /^\+[1-9]\d{6,14}$/.test(digits) ? digits : null;
}
