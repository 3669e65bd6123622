import type { Confinement, ViewerKind } from '../access/viewer.ts';
import { UnreadableSecretError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import { type AuthorizationSecrets, hashOfState, packed, randomText, unpacked } from '../secrets/authorization-state.ts';
import { open, type SealedPlace, seal, sealingKeyId } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import { both, type Conditions, type Extent, isWithin, refuseBeyond, within } from './extent.ts';
import { date, nullable, optional, tenantSchema, text, type ValuesOf } from './fields.ts';
import type { KeyHolder } from './keyring.ts';

const fields = {
  /** The hash of the state. The state itself is not stored. */
  stateHash: text(),
  integrationId: text(),
  endUserId: nullable(text()),
  connectorId: optional(text()),
  /** The details and the secrets. Sealed, they cannot be changed either. */
  sealed: text(),
  expiresAt: date(),
};

/** What an authorization will lead to, as it was started. */
export interface AuthorizationDetails {
  readonly integrationId: string;
  readonly endUserId: string | null;
  readonly connectorId: string;
  readonly schemeId: string;
  /** The connection to renew. Null if a new one will be created. */
  readonly connectionId: string | null;
  /** The name of the new connection. */
  readonly name: string | null;
  /** The requested scopes. */
  readonly scopes: readonly string[];
  readonly redirectUrl: string;
  /** Where the browser goes after the callback. Null if nowhere. */
  readonly returnTo: string | null;
  /** Whether who started it must complete it. */
  readonly confirmation: boolean;
  /** Who started it. */
  readonly startedBy: {
    readonly kind: ViewerKind;
    readonly subject: string;
    /** When the token was issued, in milliseconds since 1970. */
    readonly issuedAt: number | null;
    readonly keyHash: string | null;
    readonly scopes: readonly string[];
    /** The limit of the viewer. It also limits what the authorization can change. */
    readonly confinedTo: Confinement | null;
  };
}

/** What is sealed: the record itself can be changed by who writes to the database. */
interface SealedDetails extends AuthorizationDetails {
  readonly id: string;
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
}

/** An authorization that was started and not completed. */
export interface PendingAuthorization extends AuthorizationDetails {
  readonly id: string;
  readonly secrets: AuthorizationSecrets;
}

/** Returns a new state, and the secrets of its authorization. */
export function newState(): { readonly state: Redacted; readonly secrets: AuthorizationSecrets } {
  return { state: randomText(), secrets: { codeVerifier: randomText(), nonce: randomText() } };
}

/** The authorizations that were started. Each is read once: whoever takes it completes it. */
export function authorizationStore(database: Database, now: () => Date) {
  const schema = tenantSchema(fields);
  // Not unique: a unique index that does not begin with the organization could not be sharded, and a state is 256 random bits.
  schema.index({ stateHash: 1 });
  schema.index({ organizationId: 1, expiresAt: 1 });
  schema.index({ organizationId: 1, integrationId: 1, endUserId: 1 });
  const model = database.model('Authorization', schema, 'authorizations');

  const of = (extent: Extent, { keys }: KeyHolder) => {
    const { organizationId } = extent;
    const placeOf = ({ stateHash, integrationId, endUserId }: Pick<ValuesOf<typeof fields>, 'stateHash' | 'integrationId' | 'endUserId'>) =>
      ({ organizationId, integrationId, endUserId, credentialId: stateHash, field: 'authorization', generation: '' }) satisfies SealedPlace;

    /** Opens a record. Undefined if it has expired, or is not as it was written. */
    async function opened(record: (ValuesOf<typeof fields> & { readonly _id: string }) | null): Promise<PendingAuthorization | undefined> {
      if (!record || !isAsTyped(record) || record.expiresAt <= now()) return undefined;
      try {
        const key = await keys.byId(sealingKeyId(record.sealed));
        const { details: sealed, secrets } = unpacked<SealedDetails>(await open(key, placeOf(record), record.sealed));
        const { expiresAt, ...details } = sealed;
        if (details.id !== record._id || expiresAt !== record.expiresAt.getTime()) return undefined;
        return isWithin(extent, details) ? { ...details, secrets } : undefined;
      } catch (error) {
        // A key that was destroyed meanwhile, too.
        if (error instanceof UnreadableSecretError) return undefined;
        throw error;
      }
    }

    return translatingErrors({
      /** Stores an authorization under its state, in a transaction. */
      async insert(
        id: string,
        state: Redacted,
        details: AuthorizationDetails,
        secrets: AuthorizationSecrets,
        expiresAt: Date,
      ): Promise<void> {
        const { integrationId, endUserId, connectorId } = details;
        refuseBeyond(extent, details);
        const key = (await keys.current(1)).seal;
        const record = { stateHash: hashOfState(state), integrationId, endUserId };
        const whole: SealedDetails = { ...details, id, expiresAt: expiresAt.getTime() };
        const sealed = await seal(key, placeOf(record), packed(whole, secrets));
        await model.create([{ ...record, connectorId, _id: id, organizationId, sealed, expiresAt }]);
      },
      /** Returns the number of those that have not expired, up to a maximum. With an end user, only that one’s. */
      async count(max: number, endUserId?: string): Promise<number> {
        const own = endUserId === undefined ? {} : { endUserId };
        return model.countDocuments({ ...both(within(extent), own), expiresAt: { $gt: now() } }, { limit: max });
      },
      /** Returns the authorization with this state, and leaves it. */
      async peek(state: Redacted): Promise<PendingAuthorization | undefined> {
        return opened(await model.findOne({ ...within(extent), stateHash: hashOfState(state) }).lean());
      },
      /** Returns the authorization with this state, and removes it, so that nobody else gets it. Call it outside of a transaction. */
      async take(state: Redacted): Promise<PendingAuthorization | undefined> {
        return opened(await model.findOneAndDelete({ ...within(extent), stateHash: hashOfState(state) }).lean());
      },
      async removeExpired(): Promise<void> {
        await model.deleteMany({ ...within(extent), expiresAt: { $lte: now() } });
      },
      /** Removes those that belong to an object that is deleted. Without a filter, all. */
      async removeAll(of: Partial<Pick<AuthorizationDetails, 'integrationId' | 'endUserId' | 'connectorId'>>): Promise<void> {
        await model.deleteMany(both(within(extent), of as Conditions));
      },
    });
  };

  return {
    of,
    /** Returns the organization that has an authorization with this state. */
    async organizationOf(state: Redacted): Promise<string | undefined> {
      const found: unknown = (await model.findOne({ stateHash: hashOfState(state) }, { organizationId: 1 }).lean())?.organizationId;
      return typeof found === 'string' ? found : undefined;
    },
  };
}

/** Returns whether the values have their types. Reading does not ensure that: somebody else may have written them. */
function isAsTyped({ stateHash, integrationId, endUserId, sealed, expiresAt }: ValuesOf<typeof fields>): boolean {
  const texts: readonly unknown[] = [stateHash, integrationId, sealed, endUserId ?? ''];
  return texts.every((value) => typeof value === 'string') && expiresAt instanceof Date && !Number.isNaN(expiresAt.getTime());
}
