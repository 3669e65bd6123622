import { type Field, text } from '../fields/field.ts';

/** The bounds of a name: 1 to 255 visible characters. */
export const nameText = { maxLength: 255, format: 'name' } as const;

/** A description for people. The maximum length is that of Losant. */
export const descriptionField = text({
  description: 'A free text. Null if not set.',
  optional: true,
  minLength: 0,
  maxLength: 32_767,
  format: 'prose',
});

/** A URL without a password, because everyone who can read the record can read it. */
export const urlText = { maxLength: 2_048, format: 'url' } as const;

/** The URL of a service to which secrets are sent. Its host has a name, because the allowed domains of credentials are names. */
export const serviceUrlText = { ...urlText, format: 'serviceUrl' } as const;

/** The same, with `{name}` for the variables of a connection. */
export const baseUrlText = { ...urlText, format: 'serviceUrlTemplate' } as const;

/** Fields that a record of this type has: what callers write must be stored. */
export type FieldsIn<R> = { readonly [K in keyof R]?: Field };
