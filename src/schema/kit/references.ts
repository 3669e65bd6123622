import type { InputRef } from '@pothos/core';
import { findAPIKey } from '../../domain/api-key.ts';
import type { DomainContext } from '../../domain/context.ts';
import { findCredential } from '../../domain/credential.ts';
import type { RecordOf } from '../../domain/reading.ts';
import {
  type ConnectionRef,
  type ConnectorRef,
  type EndUserRef,
  findConnection,
  findConnector,
  findEndUser,
  findIntegration,
  type IntegrationRef,
} from '../../domain/references.ts';
import type { Path } from '../../errors.ts';
import { checkValue } from '../../fields/check.ts';
import { text } from '../../fields/field.ts';
import type { Builder, InputBuilder } from './builder.ts';
import { readsId } from './input.ts';

/** How callers say which record of a noun is meant: the member of an input that holds a `Ref`, and how the record is found. */
export interface Reference<Ref, Found> {
  /** Its name among the arguments of a query: `by`, or `id` where there is nothing else. */
  readonly queryArgument: 'by' | 'id';
  /** The member of an input, or the argument, that holds one. */
  readonly options: <const Required extends boolean>(options: {
    readonly required: Required;
    readonly description: string;
  }) => {
    readonly type: InputRef<Ref>;
    readonly required: Required;
    readonly description: string;
    readonly extensions?: object;
  };
  readonly find: (context: DomainContext, ref: Ref) => Promise<Found | null>;
}

/** What may be looked for by name. Names are no longer, and an index is not asked for what it cannot hold. */
const soughtName = text({ description: 'A name that is looked for.', minLength: 0, maxLength: 255, format: 'any' });
const readsName = { read: (name: string, path: Path) => checkValue(soughtName, name, path) };

export type References = ReturnType<typeof addReferences>;

/** Adds the inputs that say which record is meant, each by any one of its identities. */
export function addReferences(builder: Builder) {
  const id = (t: InputBuilder, noun: 'integration' | 'connector' | 'endUser' | 'connection') =>
    t.id({ description: 'Its global id.', extensions: readsId(noun) });

  const integration = builder.inputRef<IntegrationRef, false>('IntegrationRef').implement({
    description: 'An integration, by its id or by its name, which is unique within the organization.',
    isOneOf: true,
    fields: (t) => ({ id: id(t, 'integration'), name: t.string({ description: 'Its name.', extensions: readsName }) }),
  });
  const namedInIntegration = builder.inputRef<NonNullable<ConnectorRef['inIntegration']>, false>('NameInIntegration').implement({
    description: 'A name within an integration.',
    fields: (t) => ({
      integration: t.field({ type: integration, required: true, description: 'The integration.' }),
      name: t.string({ required: true, description: 'The name.', extensions: readsName }),
    }),
  });
  const connector = builder.inputRef<ConnectorRef, false>('ConnectorRef').implement({
    description: 'A connector, by its id or by its name within its integration.',
    isOneOf: true,
    fields: (t) => ({
      id: id(t, 'connector'),
      inIntegration: t.field({ type: namedInIntegration, description: 'By name.' }),
    }),
  });
  const externalIdInIntegration = builder.inputRef<NonNullable<EndUserRef['inIntegration']>, false>('ExternalIdInIntegration').implement({
    description: 'An end user’s external id, which is unique within its integration.',
    fields: (t) => ({
      integration: t.field({ type: integration, required: true, description: 'The integration.' }),
      externalId: t.string({ required: true, description: 'The organization’s own id for the end user.', extensions: readsName }),
    }),
  });
  const endUser = builder.inputRef<EndUserRef, false>('EndUserRef').implement({
    description: 'An end user, by the gateway’s id or by the organization’s own.',
    isOneOf: true,
    fields: (t) => ({
      id: id(t, 'endUser'),
      inIntegration: t.field({ type: externalIdInIntegration, description: 'By external id.' }),
    }),
  });
  const nameInConnector = builder.inputRef<NonNullable<ConnectionRef['inConnector']>, false>('NameInConnector').implement({
    description: 'A name within a connector.',
    fields: (t) => ({
      connector: t.field({ type: connector, required: true, description: 'The connector.' }),
      name: t.string({ required: true, description: 'The name.', extensions: readsName }),
    }),
  });
  const connection = builder.inputRef<ConnectionRef, false>('ConnectionRef').implement({
    description:
      'A connection, by its id or by its name, which is unique within its connector, or within its integration when it has none.',
    isOneOf: true,
    fields: (t) => ({
      id: id(t, 'connection'),
      inConnector: t.field({ type: nameInConnector, description: 'By name, of a connection that has a connector.' }),
      inIntegration: t.field({ type: namedInIntegration, description: 'By name, of a connection that has no connector.' }),
    }),
  });

  const byRef = <Ref, Found>(type: InputRef<Ref>, find: Reference<Ref, Found>['find']): Reference<Ref, Found> => ({
    queryArgument: 'by',
    options: (options) => ({ type, ...options }),
    find,
  });
  const byId = <N extends 'credential' | 'apiKey'>(
    noun: N,
    find: Reference<string, RecordOf[N]>['find'],
  ): Reference<string, RecordOf[N]> => ({
    queryArgument: 'id',
    options: (options) => ({ type: 'ID' as never, extensions: readsId(noun), ...options }),
    find,
  });
  return {
    integration: byRef(integration, findIntegration),
    connector: byRef(connector, findConnector),
    endUser: byRef(endUser, findEndUser),
    connection: byRef(connection, findConnection),
    credential: byId('credential', findCredential),
    apiKey: byId('apiKey', findAPIKey),
  };
}
