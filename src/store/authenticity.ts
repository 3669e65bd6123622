import type { Noun } from '../access/nouns.ts';
import type { RecordKey } from '../secrets/record-mac.ts';
import type { Outbox } from './outbox.ts';
import type { VerifiedRecords } from './verified.ts';

/** A stored record that is not as the gateway wrote it. */
export interface Alteration {
  readonly organizationId: string;
  readonly noun: Noun;
  /** Null if what is stored as its id is not one. */
  readonly id: string | null;
}

/** What the stores of records need to authenticate them, and to tell what happens to them. */
export interface Authenticity {
  /** @throws UnreadableSecretError when the key is missing, or no available master key opens it */
  readonly key: (organizationId: string) => Promise<RecordKey>;
  /** Called with each altered record that is read. */
  readonly report: (alteration: Alteration) => void;
  /** The records that were verified before. */
  readonly verified: VerifiedRecords;
  /** Where what happens to them is noted. */
  readonly outbox: Outbox;
}
