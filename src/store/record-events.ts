import type { NounName } from '../access/nouns.ts';
import type { Authenticity } from './authenticity.ts';
import { type EventNoun, type Happening, happened, isEventNoun } from './event-forms.ts';
import type { HealthState } from './health.ts';
import type { BaseRecord } from './record.ts';

export interface EventOptions<R extends BaseRecord> {
  readonly noun: NounName;
  readonly authenticity: Authenticity | null;
  /** Returns what else has happened when a record replaces another one, besides that it was changed. */
  readonly happenings?: (record: R, before: R) => readonly (Pick<Happening, 'type'> & Partial<Happening>)[];
}

export type RecordEvents<R extends BaseRecord> = ReturnType<typeof recordEvents<R>>;

/** Returns what tells what has happened to the records of one noun when they are written. */
export function recordEvents<R extends BaseRecord>({ noun, authenticity, happenings = () => [] }: EventOptions<R>) {
  const eventOf = (type: Happening['type'], record: BaseRecord, more?: Partial<Happening>) =>
    happened(noun as EventNoun, type, record as never, more);
  return {
    /** Where events of these records go. Null if they have none. */
    outbox: authenticity && isEventNoun(noun) ? authenticity.outbox : null,
    eventOf,

    /** Returns what has happened when a record replaces another one, besides that it was changed and its state. */
    othersOf(record: R, before: R): Happening[] {
      return happenings(record, before).map(({ type, ...more }) => eventOf(type, record, more));
    },

    /** Returns what has happened if the stored state of a record has changed. A state that was not determined yet tells nothing but a problem. */
    stateChange(record: BaseRecord, before: BaseRecord): Happening[] {
      const { state } = record as { readonly state?: HealthState };
      const { state: previousState = 'UNKNOWN' } = before as { readonly state?: HealthState };
      const isFirst = !('state' in before) || (before as { readonly state?: HealthState }).state === undefined;
      if (state === undefined || state === previousState || (isFirst && state === 'WORKING')) return [];
      return [eventOf('STATE_CHANGED', record, { state, previousState })];
    },
  };
}
