import SchemaBuilder, { InputFieldBuilder } from '@pothos/core';
import ErrorsPlugin from '@pothos/plugin-errors';
import ScopeAuthPlugin, { type AuthFailure, AuthScopeFailureType } from '@pothos/plugin-scope-auth';
import { GraphQLScalarType, Kind } from 'graphql';
import { DateTimeResolver } from 'graphql-scalars';
import { type Scope, scopes } from '../../access/scopes.ts';
import { may } from '../../access/viewer.ts';
import type { DomainContext } from '../../domain/context.ts';
import type { Reservation } from '../../domain/idempotency.ts';
import type { Refusals } from '../../domain/refusals.ts';
import { ForbiddenError, type UnavailableError } from '../../errors.ts';
import type { Loaders } from './loaders.ts';

/** The context of every resolver: the domain's context, and loaders that batch the reads of one request. */
export interface GraphQLContext extends DomainContext {
  readonly loaders: Loaders;
  readonly refusals: Refusals;
  /** For the audit log: where the request came from (null: from within the process), and its id. */
  readonly address: string | null;
  readonly requestId: string;
  readonly progress: Progress;
  /** How a subscription is listened to. Undefined for other operations. */
  readonly listening?: Listening;
}

/** What a subscription needs to know of whoever listens. */
export interface Listening {
  /** The id of the last message that the client has got. It counts instead of `after`. */
  readonly lastEventId: string | undefined;
  /** Awaited before events are read for this listener alone. */
  readonly beforeReading: () => Promise<void>;
  /** Called when an API key of the organization was deleted or rotated. */
  readonly onKeyChange: () => void;
}

/** What has become of the mutations of an operation so far. */
export interface Progress {
  /** Whether one of them was carried out. */
  hasSucceeded: boolean;
  /** The error of the first one that got no answer from the database. The others are not tried. */
  unavailable: UnavailableError | undefined;
  /** The idempotency key that the operation has reserved. */
  reservation?: Reservation;
  /** Whether the answer can contain a plaintext: see `perRequest` of a mutation. */
  answersPlaintext?: boolean;
  /** When a mutation with several transactions starts no other one, as a value of `performance.now()`: before the time limit of the operation. */
  endsAt: number;
}

/** A value of any field of a credential that is not secret, or of a fact. */
export type CredentialValue = string | number | boolean | Date | readonly string[];

interface Types {
  Context: GraphQLContext;
  AuthScopes: { scope: Scope };
  DefaultFieldNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    /** What a router sends to `_entities`. */
    _Any: { Input: unknown; Output: unknown };
    EmptyObject: { Input: Record<string, never>; Output: Record<string, never> };
    CredentialValue: { Input: never; Output: CredentialValue };
  };
}

export type Builder = ReturnType<typeof createBuilder>;
export type SchemaTypes = Builder['$inferSchemaTypes'];
/** The builders of the members of an input and of the fields of a type. */
export type InputBuilder = PothosSchemaTypes.InputFieldBuilder<SchemaTypes, 'InputObject'>;
export type OutputBuilder<Source> = PothosSchemaTypes.ObjectFieldBuilder<SchemaTypes, Source>;

/** Creates a builder. Each gateway has its own, so that two in one process share no types. */
export function createBuilder() {
  const builder = new SchemaBuilder<Types>({
    plugins: [ErrorsPlugin, ScopeAuthPlugin],
    defaultFieldNullability: false,
    errors: { defaultTypes: [] },
    scopeAuth: {
      // Otherwise a stream would begin, and each event in it be refused.
      authorizeOnSubscribe: true,
      authScopes: ({ viewer }) => ({ scope: (scope) => may(viewer, scope) }),
      unauthorizedError: (_parent, _context, _info, { failure }) => new ForbiddenError(missingScope(failure)),
    },
  });
  builder.addScalarType('DateTime', DateTimeResolver);
  builder.addScalarType('EmptyObject', EmptyObject);
  builder.addScalarType('CredentialValue', CredentialValueScalar);
  builder.queryType({ description: 'All reads. No query returns the plaintext of a secret.' });
  builder.mutationType({
    description: 'All changes. Each mutation is one transaction and returns a union: a success, or an error that a caller can handle.',
  });
  builder.subscriptionType({
    description: 'What can be listened to, as a stream of server-sent events (`Accept: text/event-stream`).',
  });
  return builder;
}

/** Creates a builder for the members of inputs. It is not bound to one input: members are created first, and an input is made of them later. */
export function createInputBuilder(builder: Builder): InputBuilder {
  return new InputFieldBuilder(builder, 'InputObject');
}

const EmptyObject = new GraphQLScalarType({
  name: 'EmptyObject',
  description: 'The object `{}`, for credential kinds without fields.',
  serialize: () => ({}),
  parseValue(value) {
    if (typeof value !== 'object' || value === null || Object.keys(value).length > 0) throw new TypeError('EmptyObject must be {}.');
    return {};
  },
  parseLiteral(node) {
    if (node.kind !== Kind.OBJECT || node.fields.length > 0) throw new TypeError('EmptyObject must be {}.');
    return {};
  },
});

const CredentialValueScalar = new GraphQLScalarType<never, unknown>({
  name: 'CredentialValue',
  description:
    'The value of a field or a fact of a credential, in JSON: a text, a whole number, a truth value or a list of texts, as `CredentialFieldType` says. In TypeScript: `string | number | boolean | string[]`. It is never an input.',
  serialize(value) {
    if (value instanceof Date) return value.toISOString();
    const isText = (each: unknown) => typeof each === 'string';
    if (isText(value) || typeof value === 'boolean' || Number.isFinite(value)) return value;
    if (Array.isArray(value) && value.every(isText)) return value;
    throw new TypeError('A field or a fact of a credential has a value of another type.');
  },
  parseValue() {
    throw new TypeError('CredentialValue is no input.');
  },
});

/** Returns the missing scope that made a check fail. Every check in this schema asks for one scope only. */
function missingScope(failure: AuthFailure): string {
  if (failure.kind === AuthScopeFailureType.AuthScope) return String(failure.parameter);
  const inner = 'failures' in failure ? failure.failures[0] : undefined;
  return inner ? missingScope(inner) : scopes[0]!;
}
