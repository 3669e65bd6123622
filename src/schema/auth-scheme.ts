import { commonSchemeFields, settingsOf, severity, type ValidationMessage, validationMessages } from '../domain/auth-scheme.ts';
import type { AuthScheme } from '../domain/reading.ts';
import type { Fields } from '../fields/field.ts';
import type { OutputBuilder } from './kit/builder.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** The output type `AuthScheme`, with one implementation for each scheme type that has settings. */
export const authSchemeType = shared((kit: Kit) => {
  const { builder, fields } = kit;
  const message = builder.objectRef<ValidationMessage>('ValidationMessage').implement({
    description: 'A remark of the server about an auth scheme that it accepted.',
    fields: (t) => ({
      severity: t.field({ type: fields.enumOf(severity), description: 'The severity.', resolve: (source) => source.severity }),
      text: t.exposeString('text', { description: 'The text, meant for people.' }),
      details: t.stringList({ description: 'Details, such as the names that it is about.', resolve: ({ details }) => details }),
    }),
  });
  /** The credentials beside the settings that hold their ids: `clientCredential` beside `clientCredentialId`. */
  function credentialsBeside(t: OutputBuilder<AuthScheme>, settings: Fields) {
    const names = Object.entries(settings).flatMap(([name, field]) => (field.type === 'ID' && field.noun === 'credential' ? [name] : []));
    return Object.fromEntries(
      names.map((name) => [
        name.replace(/Id$/, ''),
        kit.credential.related(t, {
          description: `The credential of \`${name}\`. Null if that is not set, or the credential is hidden from the viewer or has expired.`,
          id: (source: AuthScheme) => source.settings[name] as string | null | undefined,
        }),
      ]),
    );
  }
  const typesWithSettings = Object.entries(settingsOf);
  const scheme = builder.interfaceRef<AuthScheme>('AuthScheme').implement({
    description: 'How a connector, or one credential of a connection, authenticates. Contains configuration only, no secret.',
    resolveType: ({ schemeType }) => typesWithSettings.find(([type]) => type === schemeType)?.[1].of.typeName ?? 'PlainAuthScheme',
    fields: (t) => ({
      // In stored schemes, it has the name `id`.
      ...fields.outputFields(t, commonSchemeFields, ({ id, ...rest }: AuthScheme, name) =>
        name === 'schemeId' ? id : (rest as Readonly<Record<string, unknown>>)[name],
      ),
      validationMessages: t.field({
        type: [message],
        description: 'Remarks of the server about it.',
        resolve: validationMessages,
      }),
    }),
  });
  builder.objectRef<AuthScheme>('PlainAuthScheme').implement({
    interfaces: [scheme],
    description: `A scheme without settings: all types except ${Object.keys(settingsOf).join(', ')}.`,
    fields: () => ({}),
  });
  for (const [, { of }] of typesWithSettings) {
    builder.objectRef<AuthScheme>(of.typeName).implement({
      interfaces: [scheme],
      description: of.description,
      fields: (t) => ({
        ...fields.outputFields(t, of.fields, ({ settings }: AuthScheme, name) => settings[name]),
        ...credentialsBeside(t, of.fields),
      }),
    });
  }
  return scheme;
});
