import { commonSchemeFields, settingsOf, severity, type ValidationMessage, validationMessages } from '../domain/auth-scheme.ts';
import type { AuthScheme } from '../domain/reading.ts';
import type { Kit } from './kit/index.ts';
import { shared } from './kit/shared.ts';

/** `AuthScheme` as it is read, with one type for each scheme type that has settings. */
export const authSchemeType = shared(({ builder, fields }: Kit) => {
  const message = builder.objectRef<ValidationMessage>('ValidationMessage').implement({
    description: 'What the server finds worth saying about an auth scheme that it accepted.',
    fields: (t) => ({
      severity: t.field({ type: fields.enumOf(severity), description: 'How much it matters.', resolve: (source) => source.severity }),
      text: t.exposeString('text', { description: 'For people.' }),
      details: t.stringList({ description: 'More, such as the names concerned.', resolve: ({ details }) => details }),
    }),
  });
  const typesWithSettings = Object.entries(settingsOf);
  const scheme = builder.interfaceRef<AuthScheme>('AuthScheme').implement({
    description: 'How a connector, or one credential of a connection, authenticates. Configuration only: it holds no secret.',
    resolveType: ({ schemeType }) => typesWithSettings.find(([type]) => type === schemeType)?.[1].of.typeName ?? 'PlainAuthScheme',
    fields: (t) => ({
      ...fields.outputFields(t, commonSchemeFields),
      validationMessages: t.field({
        type: [message],
        description: 'What the server finds worth saying about it.',
        resolve: validationMessages,
      }),
    }),
  });
  builder.objectRef<AuthScheme>('PlainAuthScheme').implement({
    interfaces: [scheme],
    description: `A scheme without settings of its own: all types but ${Object.keys(settingsOf).join(', ')}.`,
    fields: () => ({}),
  });
  for (const [, { of }] of typesWithSettings) {
    builder.objectRef<AuthScheme>(of.typeName).implement({
      interfaces: [scheme],
      description: of.description,
      fields: (t) => fields.outputFields(t, of.fields, ({ settings }: AuthScheme, name) => settings[name]),
    });
  }
  return scheme;
});
