import { type Noun, nounTable } from '../../access/nouns.ts';
import { scopes } from '../../access/scopes.ts';
import { asSentence, type ErrorCode, errorCodes, type NotUsable, notUsable } from '../../errors.ts';
import { enumValue } from '../../fields/enum-value.ts';
import { type Format, formats } from '../../fields/formats.ts';
import type { Builder } from './builder.ts';
import { shared } from './shared.ts';

// The GraphQL enums of closed sets that several files use.

type Values<Name extends string> = Record<Name, { readonly description: string }>;

/** Returns the values of an enum from a text for each: its description, or what `sentence` makes the description of. */
export function describedBy<Name extends string>(texts: Readonly<Record<Name, string>>, sentence = (text: string) => text): Values<Name> {
  return Object.fromEntries(
    Object.entries<string>(texts).map(([name, text]) => [name, { description: sentence(text) }]),
  ) as unknown as Values<Name>;
}

/** Returns the values of an enum of nouns. */
export function nounValues<N extends Noun>(nouns: readonly N[]): Record<string, { readonly value: N; readonly description: string }> {
  return Object.fromEntries(
    nouns.map((noun) => [enumValue(noun), { value: noun, description: `An object of type \`${nounTable[noun].typeName}\`.` }]),
  );
}

/** The codes of all errors, those of mutation results and those in `extensions.code`. */
export const errorCode = shared((builder: Builder) =>
  builder.enumType('ErrorCode', {
    description:
      'The codes of errors: in `MutationError.code`, and in `extensions.code` of errors of the request. A code keeps its meaning; new versions can add codes.',
    values: describedBy<ErrorCode>(errorCodes),
  }),
);

/** How an action ended, as the audit log says. */
export type AuditOutcome = 'SUCCESS' | 'OTHER' | ErrorCode;
export const auditOutcome = shared((builder: Builder) =>
  builder.enumType('AuditOutcome', {
    description: 'How an action ended: `SUCCESS`, or the error code with which it was refused.',
    values: {
      SUCCESS: { description: 'It was carried out.' },
      ...describedBy<ErrorCode>(errorCodes),
      OTHER: { description: 'An outcome that only another version of the gateway knows. A filter by it is refused.' },
    } satisfies Values<AuditOutcome>,
  }),
);

/** Why a credential cannot be used. */
export const notUsableReason = shared((builder: Builder) =>
  builder.enumType('CredentialNotUsableReason', {
    description: 'Why a request cannot be sent over a connection.',
    values: describedBy<NotUsable>(notUsable, asSentence),
  }),
);

/** The formats of texts. Kinds of one's own choose among them. */
export const textFormat = shared((builder: Builder) =>
  builder.enumType('TextFormat', {
    description: 'The format of a text. Kinds of your own use the same formats.',
    values: Object.fromEntries(
      Object.entries(formats).map(([format, { message }]) => [
        enumValue(format),
        { value: format as Format, description: `The text ${message}.` },
      ]),
    ),
  }),
);

/** The scopes that a field or a type can require, without wildcards. */
export const scopeEnum = shared((builder: Builder) =>
  builder.enumType('Scope', {
    description:
      'A scope. Tokens, `APIKey.scopes` and `extensions.scope` of errors have it in the form of the descriptions here, and can also have wildcards such as `credentials.*`.',
    values: Object.fromEntries(
      scopes.map((scope) => [enumValue(scope.replace('.', '_')), { value: scope, description: `The scope \`${scope}\`.` }]),
    ),
  }),
);
