import type { Scope } from '../access/scopes.ts';
import { StorageLimitError, type Unkept, UnreadableSecretError, unkept } from '../errors.ts';
import { idempotencyHash, packedAnswer, unpackedAnswer } from '../secrets/idempotency.ts';
import { open, type SealedPlace, seal, sealingKeyId } from '../secrets/seal.ts';
import { type Database, translatingErrors } from './database.ts';
import type { Extent } from './extent.ts';
import { boolean, date, fitting, nullable, number, oneOf, optional, tenantSchema, text, type ValuesOf } from './fields.ts';
import type { KeyHolder } from './keyring.ts';
import { newId } from './records.ts';
import { countedBytes } from './sizes.ts';
import type { StorageLimits } from './usage.ts';

const fields = {
  /** The hash of the viewer and of its key. */
  keyHash: text(),
  /** The hash of the document, the operation name and the variables. */
  requestHash: text(),
  /** The end user whose key it is. Null if it is of a back end. */
  endUserId: nullable(text()),
  /** The attempt that may carry the operation out. */
  attempt: text(),
  state: oneOf(['running', 'answered', 'done']),
  /** Whether a transaction of the operation was committed. That transaction itself sets it. */
  hasCommitted: boolean(),
  /** The answer, sealed. Only of `answered`. */
  sealed: optional(text()),
  /** Only of `done`. */
  unkept: optional(oneOf(Object.keys(unkept) as Unkept[])),
  /** The attempt has ended by this time, or its process was killed. */
  endsAt: date(),
  expiresAt: date(),
  bytes: number(),
};
type Stored = ValuesOf<typeof fields>;

/** An idempotency key that is in use, and the attempt that uses it. */
export interface Reservation {
  readonly keyHash: string;
  readonly requestHash: string;
  readonly attempt: string;
  /** Until when the key is known. */
  readonly expiresAt: Date;
}

/** An answer as it is kept. */
export interface KeptAnswer {
  /** The response, as JSON. */
  readonly text: string;
  /** The scopes that the viewer had. */
  readonly scopes: readonly Scope[];
}

/** An answer as it is sealed: nobody else can make it last longer. */
interface SealedAnswer extends KeptAnswer {
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
}

/** About the size of a record without an answer. */
const RECORD_BYTES = 512;
const SWEEP_MAX = 1_000;

/**
 * The idempotency keys of the last day. One record for each key of a viewer; a unique index lets one attempt have it. The answers hold personal data,
 * so they are sealed, bound to the organization, the viewer, the key and the request. `keys rotate` does not move them to the new key: an
 * answer whose key was destroyed is lost.
 */
export function idempotencyStore(database: Database, storageLimits: StorageLimits | undefined) {
  const schema = tenantSchema(fields);
  schema.index({ organizationId: 1, keyHash: 1 }, { unique: true });
  schema.index({ organizationId: 1, expiresAt: 1 });
  schema.index({ organizationId: 1, endUserId: 1 });
  const model = database.model('IdempotencyKey', schema, 'idempotencyKeys');

  return ({ organizationId }: Extent, { keys }: KeyHolder) => {
    const filterOf = ({ keyHash, attempt }: Reservation) => ({ organizationId, keyHash, attempt });
    const placeOf = ({ keyHash, requestHash }: Reservation) =>
      ({
        organizationId,
        integrationId: '',
        endUserId: null,
        credentialId: keyHash,
        field: 'idempotency',
        generation: requestHash,
      }) satisfies SealedPlace;
    const account = (count: number, bytes: number) => database.account(organizationId, { idempotencyKeys: count, bytes });

    /** An end user must not use up what its organization has. */
    const refuseOwner = async (endUserId: string): Promise<void> => {
      const limit = storageLimits?.MAX_OWNED;
      if (limit === undefined || (await model.countDocuments({ organizationId, endUserId }, { limit })) < limit) return;
      throw new StorageLimitError('The end user cannot use more idempotency keys in a day', 'MAX_OWNED', limit);
    };

    return translatingErrors({
      /** Returns the hashes of a viewer with its key, and of its request. Call it in a transaction that has begun. */
      async hashesOf(viewerAndKey: string, request: string): Promise<Pick<Reservation, 'keyHash' | 'requestHash'>> {
        const { bytes } = (await keys.current()).fingerprint;
        return { keyHash: idempotencyHash(bytes, 'key', viewerAndKey), requestHash: idempotencyHash(bytes, 'request', request) };
      },
      /** Returns what is stored under a key, unless it has expired. A value that does not have the type of its field was not written by the gateway. It is replaced by the blank value of the field: see `fitting`. */
      async find(keyHash: string, now: Date): Promise<Stored | null> {
        const found = await model.findOne({ organizationId, keyHash, expiresAt: { $gt: now } }).lean();
        return found && fitting(fields, found as unknown as Record<string, unknown>);
      },
      /** Reserves a key that is not in use. Call it in a transaction. @throws DuplicateKeyError, StorageLimitError */
      async insert({ keyHash, requestHash, attempt, expiresAt }: Reservation, endsAt: Date, endUserId: string | null): Promise<void> {
        const expired = await model.findOneAndDelete({ organizationId, keyHash }).lean();
        if (expired) await account(-1, -countedBytes(expired.bytes));
        if (endUserId !== null) await refuseOwner(endUserId);
        const state = { state: 'running', hasCommitted: false, endsAt, expiresAt, bytes: RECORD_BYTES } as const;
        await model.create([{ _id: newId(), organizationId, keyHash, requestHash, attempt, endUserId, ...state }]);
        await account(1, RECORD_BYTES);
      },
      /** Gives the key to another attempt, because the earlier one has ended without having committed anything. Call it in a transaction. */
      async take({ keyHash, attempt }: Reservation, endsAt: Date): Promise<void> {
        await model.updateOne({ organizationId, keyHash }, { $set: { attempt, endsAt } });
      },
      /** Marks, in the transaction of a mutation, that it is committed. Returns false if another attempt has taken the key. */
      async commit(reservation: Reservation): Promise<boolean> {
        const { matchedCount } = await model.updateOne({ ...filterOf(reservation), state: 'running' }, { $set: { hasCommitted: true } });
        return matchedCount === 1;
      },
      /** Keeps the answer. Call it in a transaction. @throws StorageLimitError when the organization has no room for it */
      async keep(reservation: Reservation, kept: KeptAnswer): Promise<void> {
        const answer: SealedAnswer = { ...kept, expiresAt: reservation.expiresAt.getTime() };
        const sealed = await seal((await keys.current(1)).seal, placeOf(reservation), packedAnswer(answer));
        const changes = { state: 'answered', sealed, bytes: RECORD_BYTES + sealed.length } as const;
        const { matchedCount } = await model.updateOne({ ...filterOf(reservation), state: 'running' }, { $set: changes });
        if (matchedCount === 1) await account(0, sealed.length);
      },
      /** Frees the key if nothing was committed; otherwise keeps why there is no answer. Call it in a transaction. */
      async finishUnanswered(reservation: Reservation, why: Unkept): Promise<void> {
        const filter = { ...filterOf(reservation), state: 'running' } as const;
        const freed = await model.findOneAndDelete({ ...filter, hasCommitted: false }).lean();
        if (freed) await account(-1, -countedBytes(freed.bytes));
        else await model.updateOne(filter, { $set: { state: 'done', unkept: why } });
      },
      /** Opens a kept answer. Undefined if that is not possible: it or its time was changed, or its data key was destroyed. */
      async open(reservation: Reservation, sealed: string): Promise<KeptAnswer | undefined> {
        try {
          const answer = unpackedAnswer<SealedAnswer>(await open(await keys.byId(sealingKeyId(sealed)), placeOf(reservation), sealed));
          return answer.expiresAt === reservation.expiresAt.getTime() ? answer : undefined;
        } catch (error) {
          if (error instanceof UnreadableSecretError) return undefined;
          throw error;
        }
      },
      /** Removes keys that have expired, a limited number at a time. Returns how many. Without any, it costs one read and no transaction. */
      async removeExpired(now: Date): Promise<number> {
        const ended = { organizationId, expiresAt: { $lte: now } };
        if (!(await model.exists(ended))) return 0;
        return database.transaction(async () => {
          const found = await model.find(ended, { bytes: 1 }).limit(SWEEP_MAX).lean();
          const { deletedCount } = await model.deleteMany({ organizationId, _id: { $in: found.map(({ _id }) => _id) } });
          await account(-deletedCount, -found.reduce((sum, { bytes }) => sum + countedBytes(bytes), 0));
          return deletedCount;
        });
      },
      async removeAll(): Promise<void> {
        await model.deleteMany({ organizationId });
      },
    });
  };
}
