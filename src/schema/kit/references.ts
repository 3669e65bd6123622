import type { InputRef } from '@pothos/core';
import type { Noun } from '../../access/scopes.ts';
import { findAPIKey } from '../../domain/api-key.ts';
import type { DomainContext } from '../../domain/context.ts';
import { findCredential } from '../../domain/credential.ts';
import type { RecordOf } from '../../domain/reading.ts';
import type { EvenAltered } from '../../domain/records.ts';
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
import { findWebhook } from '../../domain/webhook.ts';
import type { Builder, InputBuilder } from './builder.ts';
import { checkSought, readsId } from './input.ts';

/** How callers identify a record of a noun: the input type `Ref`, and the function that finds the record. */
export interface Reference<Ref, Found> {
  readonly noun: Noun;
  /** The name of the argument of a query: `by`, or `id` if the noun can be identified by id only. */
  readonly queryArgument: 'by' | 'id';
  /** Returns the options of a member of an input, or of an argument. */
  readonly options: <const Required extends boolean>(options: {
    readonly required: Required;
    readonly description: string;
  }) => {
    readonly type: InputRef<Ref>;
    readonly required: Required;
    readonly description: string;
    readonly extensions?: object;
  };
  /** Finds a record for a query, so also an altered one. */
  readonly find: (context: DomainContext, ref: Ref) => Promise<Found | null>;
}

/** A domain function that finds a record. */
type Find<Ref, Found> = (context: DomainContext, ref: Ref, altered: EvenAltered) => Promise<Found | null>;

/** The extensions of a member that holds the name to search for. */
const readsName = { read: checkSought };

/** Adds the inputs that identify a record, by id or by name. */
export function addReferences(builder: Builder) {
  const id = (t: InputBuilder, noun: 'integration' | 'connector' | 'endUser' | 'connection') =>
    t.id({ description: 'The global id.', extensions: readsId(noun) });

  const integration = builder.inputRef<IntegrationRef, false>('IntegrationRef').implement({
    description: 'Identifies an integration by id or name. The name is unique within the organization.',
    isOneOf: true,
    fields: (t) =>
      ({ id: id(t, 'integration'), name: t.string({ description: 'The name.', extensions: readsName }) }) satisfies Record<
        keyof IntegrationRef,
        unknown
      >,
  });
  const namedInIntegration = builder.inputRef<NonNullable<ConnectorRef['inIntegration']>, false>('NameInIntegration').implement({
    description: 'A name within an integration.',
    fields: (t) =>
      ({
        integration: t.field({ type: integration, required: true, description: 'The integration.' }),
        name: t.string({ required: true, description: 'The name.', extensions: readsName }),
      }) satisfies Record<keyof NonNullable<ConnectorRef['inIntegration']>, unknown>,
  });
  const connector = builder.inputRef<ConnectorRef, false>('ConnectorRef').implement({
    description: 'Identifies a connector by id, or by name within its integration.',
    isOneOf: true,
    fields: (t) =>
      ({
        id: id(t, 'connector'),
        inIntegration: t.field({ type: namedInIntegration, description: 'By name.' }),
      }) satisfies Record<keyof ConnectorRef, unknown>,
  });
  const externalIdInIntegration = builder.inputRef<NonNullable<EndUserRef['inIntegration']>, false>('ExternalIdInIntegration').implement({
    description: 'An external id within an integration.',
    fields: (t) =>
      ({
        integration: t.field({ type: integration, required: true, description: 'The integration.' }),
        externalId: t.string({ required: true, description: 'The external id.', extensions: readsName }),
      }) satisfies Record<keyof NonNullable<EndUserRef['inIntegration']>, unknown>,
  });
  const endUser = builder.inputRef<EndUserRef, false>('EndUserRef').implement({
    description: 'Identifies an end user by global id, or by external id within its integration.',
    isOneOf: true,
    fields: (t) =>
      ({
        id: id(t, 'endUser'),
        inIntegration: t.field({ type: externalIdInIntegration, description: 'By external id.' }),
      }) satisfies Record<keyof EndUserRef, unknown>,
  });
  const owner = (t: InputBuilder) =>
    t.field({
      type: endUser,
      description:
        'The end user that the connection belongs to. By default, a connection that belongs to no end user; for the token of an end user, one of its own.',
    });
  const nameInConnector = builder.inputRef<NonNullable<ConnectionRef['inConnector']>, false>('NameInConnector').implement({
    description: 'The name of a connection within a connector.',
    fields: (t) =>
      ({
        connector: t.field({ type: connector, required: true, description: 'The connector.' }),
        name: t.string({ required: true, description: 'The name.', extensions: readsName }),
        endUser: owner(t),
      }) satisfies Record<keyof NonNullable<ConnectionRef['inConnector']>, unknown>,
  });
  const connectionNameInIntegration = builder
    .inputRef<NonNullable<ConnectionRef['inIntegration']>, false>('ConnectionNameInIntegration')
    .implement({
      description: 'The name of a connection without a connector, within an integration.',
      fields: (t) =>
        ({
          integration: t.field({ type: integration, required: true, description: 'The integration.' }),
          name: t.string({ required: true, description: 'The name.', extensions: readsName }),
          endUser: owner(t),
        }) satisfies Record<keyof NonNullable<ConnectionRef['inIntegration']>, unknown>,
    });
  const connection = builder.inputRef<ConnectionRef, false>('ConnectionRef').implement({
    description:
      'Identifies a connection by id, or by name within its connector; or within its integration, if it has no connector. The name is unique among the connections of one end user, and among those of no end user.',
    isOneOf: true,
    fields: (t) =>
      ({
        id: id(t, 'connection'),
        inConnector: t.field({ type: nameInConnector, description: 'By name, for a connection with a connector.' }),
        inIntegration: t.field({ type: connectionNameInIntegration, description: 'By name, for a connection without a connector.' }),
      }) satisfies Record<keyof ConnectionRef, unknown>,
  });

  const byRef = <Ref, Found>(noun: Noun, type: InputRef<Ref>, find: Find<Ref, Found>): Reference<Ref, Found> => ({
    noun,
    queryArgument: 'by',
    options: (options) => ({ type, ...options }),
    find: (context, ref) => find(context, ref, 'evenAltered'),
  });
  const byId = <N extends Noun>(noun: N, find: Find<string, RecordOf[N]>): Reference<string, RecordOf[N]> => ({
    noun,
    queryArgument: 'id',
    options: (options) => ({ type: 'ID' as never, extensions: readsId(noun), ...options }),
    find: (context, ref) => find(context, ref, 'evenAltered'),
  });
  return {
    integration: byRef('integration', integration, findIntegration),
    connector: byRef('connector', connector, findConnector),
    endUser: byRef('endUser', endUser, findEndUser),
    connection: byRef('connection', connection, findConnection),
    credential: byId('credential', findCredential),
    apiKey: byId('apiKey', findAPIKey),
    webhook: byId('webhook', findWebhook),
  };
}
