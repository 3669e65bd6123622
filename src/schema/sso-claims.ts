import type { SSOClaimSettings, SSOUserField } from '../domain/reading.ts';
import type { Builder } from './builder.ts';

const texts = {
  organization: 'The name of the Zendesk organization that the user is put into. It must exist there, or Zendesk ignores it.',
  locale: 'The number of a Zendesk locale.',
  tags: 'Replace the tags that the user has in Zendesk; `[]` removes them all. Null: they stay.',
  userFields: 'Custom user fields. Null: none are sent. Zendesk ignores keys that it does not know.',
  sendPhone: 'Whether the contact’s phone number is sent, if it is an international one such as +12105550100.',
  externalId: 'Which id Zendesk is given for a user.',
};
const fieldTexts = {
  name: 'Its key in Zendesk.',
  text: 'Its value, if that is a text, a date as yyyy-mm-dd, or the tag of a choice.',
  number: 'Its value, if that is a number.',
  flag: 'Its value, if that is a checkbox.',
};

/** Adds what an integration tells Zendesk of its end users: the type and the input. */
export function addSSOClaims(builder: Builder) {
  const externalId = builder.enumType('SSOExternalId', {
    description: 'Which id Zendesk is given for a user, by which it knows the user even when the address changes.',
    values: {
      CONTACT: {
        description: 'The end user’s external id and the contact’s type, as in `account-1:billing`: each contact is a user of its own.',
      },
      END_USER: {
        description:
          'The end user’s external id alone. Only where all contacts of an end user are one person: otherwise Zendesk takes them for one, and each sees what another wrote.',
      },
      NONE: { description: 'None: Zendesk knows users by their addresses.' },
    },
  });
  const userField = builder.objectRef<SSOUserField>('SSOUserField').implement({
    description: 'A custom user field and its value. With no value at all, Zendesk clears the field.',
    fields: (t) => ({
      name: t.exposeString('name', { description: fieldTexts.name }),
      text: t.exposeString('text', { nullable: true, description: fieldTexts.text }),
      number: t.exposeFloat('number', { nullable: true, description: fieldTexts.number }),
      flag: t.exposeBoolean('flag', { nullable: true, description: fieldTexts.flag }),
    }),
  });
  const type = builder.objectRef<SSOClaimSettings>('SSOClaims').implement({
    description: 'What an integration tells Zendesk of its end users, beyond who they are.',
    fields: (t) => ({
      organization: t.exposeString('organization', { nullable: true, description: `${texts.organization} Null: none.` }),
      locale: t.exposeInt('locale', { nullable: true, description: `${texts.locale} Null: Zendesk’s own choice.` }),
      tags: t.exposeStringList('tags', { nullable: true, description: texts.tags }),
      userFields: t.field({
        type: [userField],
        nullable: true,
        description: texts.userFields,
        resolve: ({ userFields }) => userFields,
      }),
      sendPhone: t.exposeBoolean('sendPhone', { description: texts.sendPhone }),
      externalId: t.expose('externalId', { type: externalId, description: texts.externalId }),
    }),
  });
  const userFieldInput = builder.inputType('SSOUserFieldInput', {
    description: 'A custom user field, and at most one value. With none, Zendesk clears the field.',
    fields: (t) => ({
      name: t.string({ required: true, description: `${fieldTexts.name} 1 to 255 letters, digits and underscores; each once.` }),
      text: t.string({ description: `${fieldTexts.text} At most 1,024 characters.` }),
      number: t.float({ description: fieldTexts.number }),
      flag: t.boolean({ description: fieldTexts.flag }),
    }),
  });
  const input = builder.inputType('SSOClaimsInput', {
    description:
      'What to tell Zendesk of the integration’s end users. It replaces what was there, as a whole. A role cannot be given: it would make agents and administrators.',
    fields: (t) => ({
      organization: t.string({ description: `${texts.organization} 1 to 255 characters.` }),
      locale: t.int({ description: texts.locale }),
      tags: t.stringList({ description: `${texts.tags} At most 50, of 1 to 100 letters, digits, \`_\`, \`-\` and \`/\`.` }),
      userFields: t.field({ type: [userFieldInput], description: `${texts.userFields} At most 50.` }),
      sendPhone: t.boolean({ description: `${texts.sendPhone} False unless told.` }),
      externalId: t.field({ type: externalId, description: `${texts.externalId} \`CONTACT\` unless told.` }),
    }),
  });
  return { type, input, userField };
}
