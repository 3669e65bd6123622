import type { ConnectionRef, ConnectorRef, EndUserRef, IntegrationRef } from '../domain/references.ts';
import { anyText, check } from '../domain/validation.ts';
import type { Path } from '../errors.ts';
import type { Builder } from './builder.ts';
import { decodeId } from './global-id.ts';

export type References = ReturnType<typeof addReferences>;

/** Adds the inputs that say which object is meant, each by any one of its identities. */
export function addReferences(builder: Builder) {
  const idDescription = 'Its global id.';
  const integration = builder.inputType('IntegrationRef', {
    description: 'An integration, by its id or by its name, which is unique within the organization.',
    isOneOf: true,
    fields: (t) => ({ id: t.id({ description: idDescription }), name: t.string({ description: 'Its name.' }) }),
  });
  const namedInIntegration = builder.inputType('NameInIntegration', {
    description: 'A name within an integration.',
    fields: (t) => ({
      integration: t.field({ type: integration, required: true, description: 'The integration.' }),
      name: t.string({ required: true, description: 'The name.' }),
    }),
  });
  const connector = builder.inputType('ConnectorRef', {
    description: 'A connector, by its id or by its name within its integration.',
    isOneOf: true,
    fields: (t) => ({
      id: t.id({ description: idDescription }),
      inIntegration: t.field({ type: namedInIntegration, description: 'By name.' }),
    }),
  });
  const endUser = builder.inputType('EndUserRef', {
    description: 'An end user, by the gateway’s id or by the organization’s own.',
    isOneOf: true,
    fields: (t) => ({
      id: t.id({ description: idDescription }),
      inIntegration: t.field({
        type: builder.inputType('ExternalIdInIntegration', {
          description: 'An end user’s external id, which is unique within its integration.',
          fields: (inner) => ({
            integration: inner.field({ type: integration, required: true, description: 'The integration.' }),
            externalId: inner.string({ required: true, description: 'The organization’s own id for the end user.' }),
          }),
        }),
        description: 'By external id.',
      }),
    }),
  });
  const connection = builder.inputType('ConnectionRef', {
    description:
      'A connection, by its id or by its name, which is unique within its connector, or within its integration when it has none.',
    isOneOf: true,
    fields: (t) => ({
      id: t.id({ description: idDescription }),
      inConnector: t.field({
        type: builder.inputType('NameInConnector', {
          description: 'A name within a connector.',
          fields: (inner) => ({
            connector: inner.field({ type: connector, required: true, description: 'The connector.' }),
            name: inner.string({ required: true, description: 'The name.' }),
          }),
        }),
        description: 'By name, of a connection that has a connector.',
      }),
      inIntegration: t.field({ type: namedInIntegration, description: 'By name, of a connection that has no connector.' }),
    }),
  });
  return { integration, connector, endUser, connection };
}

/** What may be looked for by name. Names are no longer, and an index is not asked for what it cannot hold. */
const nameSought = anyText.max(255);

type Given<T> = { readonly [K in keyof T]?: T[K] | null };

/** What the schema's inputs say, as the domain takes it: global ids decoded. @throws ValidationError when an id is malformed, or a name too long */
export function readIntegrationRef({ id, name }: Given<IntegrationRef>, path: Path): IntegrationRef {
  return id == null ? { name: check(nameSought, name, [...path, 'name']) } : { id: decodeId('integration', id, [...path, 'id']) };
}

export function readConnectorRef({ id, inIntegration }: Given<ConnectorRef>, path: Path): ConnectorRef {
  if (id != null) return { id: decodeId('connector', id, [...path, 'id']) };
  return { inIntegration: readNamed(inIntegration!, [...path, 'inIntegration']) };
}

export function readEndUserRef({ id, inIntegration }: Given<EndUserRef>, path: Path): EndUserRef {
  if (id != null) return { id: decodeId('endUser', id, [...path, 'id']) };
  return { inIntegration: readNamed(inIntegration!, [...path, 'inIntegration']) };
}

export function readConnectionRef({ id, inConnector, inIntegration }: Given<ConnectionRef>, path: Path): ConnectionRef {
  if (id != null) return { id: decodeId('connection', id, [...path, 'id']) };
  if (inIntegration) return { inIntegration: readNamed(inIntegration, [...path, 'inIntegration']) };
  const connector = readConnectorRef(inConnector!.connector, [...path, 'inConnector', 'connector']);
  return { inConnector: { connector, name: check(nameSought, inConnector!.name, [...path, 'inConnector', 'name']) } };
}

function readNamed<T extends { readonly integration: Given<IntegrationRef> }>({ integration, ...named }: T, path: Path) {
  for (const [member, name] of Object.entries(named)) check(nameSought, name, [...path, member]);
  return { ...named, integration: readIntegrationRef(integration, [...path, 'integration']) };
}
