import type { EventRange } from '../domain/events.ts';
import {
  type DeletionReason,
  type Expiring,
  eventNouns,
  eventTypeChoices,
  isPosition,
  LAST_ID,
  lastPositionUpTo,
  NO_POSITION,
  positionOf,
  readableEvents,
} from '../domain/events.ts';
import type { EventRecord } from '../domain/reading.ts';
import { CursorExpiredError } from '../errors.ts';
import { credentialKindEnum } from './credential.ts';
import { healthState, problemCode } from './health.ts';
import { actorType } from './kit/actor.ts';
import { actionOf, auditAction } from './kit/audit-action.ts';
import type { GraphQLContext } from './kit/builder.ts';
import { describedBy, nounValues } from './kit/closed-sets.ts';
import { decodeCursor, encodeCursor } from './kit/cursor.ts';
import { byReference, byValues, conditionsOf } from './kit/filter.ts';
import { encodeId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { readArguments } from './kit/input.ts';
import { loadPage, type PageArgs, type PageSource, pageArgs } from './kit/page.ts';
import { recordFields } from './kit/record-fields.ts';
import { shared } from './kit/shared.ts';

const LIST = { noun: 'event', sortField: 'position' } as const;
/** In the cursor of a position: each event that has the position comes after it. */
const FIRST_ID = '0'.repeat(24);

/** The enum of the types of objects that have events. */
export const eventObjectType = shared(({ builder }: Kit) =>
  builder.enumType('EventObjectType', {
    description: 'The type of an object that has events.',
    values: nounValues(eventNouns),
  }),
);

/** Returns the cursor of a position: what continues there begins with the event after it. */
export function cursorOfEvent(position: string): string {
  return encodeCursor(placeAfter(position), LIST);
}

/** Returns the place after a position. What is no position is before the next one that is: somebody else has written it. */
function placeAfter(position: string): { readonly position: string; readonly id: string } {
  if (isPosition(position)) return { position, id: LAST_ID };
  return { position: positionOf(Number(lastPositionUpTo(position)) + 1), id: FIRST_ID };
}

/** A page of events, and how far the events of the organization reached when it was read. */
type EventPage = PageSource<'event'> & { readonly range: EventRange };

/**
 * Returns a page of which each cursor is one of this list, whatever somebody else has stored. Nothing that the gateway wrote is beyond the newest event, so
 * reading ends there.
 */
function withinRange({ page, ...source }: PageSource<'event'>, range: EventRange): EventPage {
  const { before } = source.request;
  const newest = page.records.reduce((last, { position, isAltered }) => (!isAltered && position > last ? position : last), range.newest);
  const end = page.records.findIndex(({ position }) => position > newest);
  const isAtEnd = end >= 0 || (!before && page.continuesAt !== undefined && String(page.continuesAt.value) > newest);
  const { continuesAt, ...known } = page;
  const records = end < 0 ? page.records : page.records.slice(0, end);
  if (isAtEnd) return { ...source, page: { ...known, records, hasMore: false }, range };
  const last = continuesAt ? String(continuesAt.value) : page.records.at(before ? 0 : -1)?.position;
  if (last === undefined || isPosition(last) || !page.hasMore) return { ...source, page: { ...page, records }, range };
  const place = before ? { position: lastPositionUpTo(last), id: LAST_ID } : placeAfter(last);
  return { ...source, page: { ...page, records, continuesAt: { value: place.position, id: place.id } }, range };
}

/** Adds `Event` and the query for events. */
export function addEvent(kit: Kit): void {
  const { builder, event, fields, node, references } = kit;
  const type = fields.enumOf(eventTypeChoices);
  const reason = builder.enumType('DeletionReason', {
    description: 'Why an object was deleted.',
    values: describedBy<DeletionReason>({
      REQUESTED: 'Somebody has asked for it.',
      EXPIRED: 'The time `expiresAt` of the credential has come.',
      CASCADE:
        'It followed from something else: from the deletion of the object in `causeId`, or from `revokeTokens` with `apiKeys`, which deletes API keys.',
    }),
  });
  const objectType = eventObjectType(kit);
  const what = builder.enumType('Expiring', {
    description: 'What expires.',
    values: describedBy<Expiring>({
      CREDENTIAL: 'The credential: it is deleted at this time.',
      CERTIFICATE: 'A certificate of the credential.',
      TOKEN: 'The access token of the credential, which the gateway cannot refresh.',
    }),
  });
  const expiry = builder.objectRef<NonNullable<EventRecord['expiry']>>('Expiry').implement({
    description: 'What of a credential expires soon.',
    fields: (t) => ({
      what: t.expose('what', { type: what, description: 'What expires.' }),
      at: t.expose('at', { type: 'DateTime', description: 'When it expires.' }),
      days: t.exposeInt('days', { description: 'Which notice it is: how many days before the end it was due, such as 7.' }),
    }),
  });
  const snapshot = builder.objectRef<NonNullable<EventRecord['snapshot']>>('EventSnapshot').implement({
    description:
      'The object of an event, as it was after the change, or before its deletion. It contains ids, flags, times and counts: no secret, and no text that a caller has chosen.',
    fields: (t) => ({
      version: t.exposeInt('version', { description: 'Its version.' }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'The time of its creation.' }),
      updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'The time of its last change.' }),
      kind: t.field({
        type: credentialKindEnum(kit),
        nullable: true,
        description: 'The kind of a credential. Null for other objects, and for kinds that the gateway does not know any more.',
        resolve: ({ kind }) => (kit.kinds.readable.some((known) => known.kind === kind) ? kind : null),
      }),
      enabled: t.exposeBoolean('enabled', { nullable: true, description: 'Whether a credential is enabled. Null for other objects.' }),
      expiresAt: t.expose('expiresAt', {
        type: 'DateTime',
        nullable: true,
        description: 'When a credential is deleted, or an API key expires. Null if never, and for other objects.',
      }),
      lastUsedAt: t.expose('lastUsedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'When it was last used, to the minute. Null if never, or for objects that are not used.',
      }),
      connectorId: t.id({
        nullable: true,
        description: 'The global id of the connector of a connection. Null if it has none, and for other objects.',
        resolve: ({ connectorId }) => connectorId && encodeId('connector', connectorId),
      }),
      connector: kit.connector.related(t, {
        description: 'The connector of a connection, as it is now. Null if it has none, or it was deleted, and for other objects.',
        id: ({ connectorId }) => connectorId,
      }),
      credentialCount: t.exposeInt('credentialCount', {
        nullable: true,
        description: 'How many credentials a connection or a connector uses. Null for other objects.',
      }),
    }),
  });

  event.type.implement({
    description:
      'Something that has happened to an object. The change and its event are written in one transaction. It contains no secret, and no text that a caller has chosen, and is never changed.',
    interfaces: [node],
    authScopes: { scope: 'events.get' },
    fields: (t) => {
      const { id, integrity } = recordFields('event', builder)(t);
      return {
        id,
        integrity,
        cursor: t.string({
          description: 'Its place among the events of the organization, for `after`.',
          resolve: ({ position }) => cursorOfEvent(position),
        }),
        createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it happened.' }),
        createdBy: t.field({
          type: actorType(builder),
          nullable: true,
          description: 'Who did it. Null only if the stored event was altered.',
          resolve: ({ createdBy }) => createdBy,
        }),
        type: t.expose('type', { type, description: 'What has happened.' }),
        action: t.field({
          type: auditAction(builder),
          nullable: true,
          description:
            'The mutation, or the action of the gateway, as the audit log names it. Null for what the gateway does without an entry in the audit log.',
          resolve: ({ action }) => action && actionOf(builder, action),
        }),
        reason: t.expose('reason', { type: reason, nullable: true, description: 'Why it was deleted. Null for other events.' }),
        objectType: t.expose('objectNoun', { type: objectType, description: 'The type of the object.' }),
        objectId: t.id({
          description: 'The global id of the object, which may have been deleted.',
          resolve: ({ objectNoun, objectId }) => encodeId(objectNoun, objectId),
        }),
        object: kit.relatedNode(t, {
          description: 'The object as it is now. Null if it was deleted since.',
          of: ({ objectNoun, objectId }) => ({ noun: objectNoun, id: objectId }),
        }),
        causeId: t.id({
          nullable: true,
          description: 'The global id of the object that somebody has changed or deleted, if this event followed from that.',
          resolve: ({ causeNoun, causeId }) => causeNoun && causeId && encodeId(causeNoun, causeId),
        }),
        cause: kit.relatedNode(t, {
          description: 'The object in `causeId` as it is now. Null if it was deleted, or there is none.',
          of: ({ causeNoun, causeId }) => ({ noun: causeNoun, id: causeId }),
        }),
        integrationId: t.id({
          nullable: true,
          description: 'The global id of the integration of the object; of an integration, its own. Null if it belongs to none.',
          resolve: ({ integrationId }) => integrationId && encodeId('integration', integrationId),
        }),
        integration: kit.integration.related(t, {
          description:
            'The integration of the object as it is now; of an integration, itself. Null if it belongs to none, or the integration was deleted.',
          id: ({ integrationId }) => integrationId,
        }),
        endUserId: t.id({
          nullable: true,
          description: 'The global id of the end user of the object; of an end user, its own. Null if it belongs to none.',
          resolve: ({ endUserId }) => endUserId && encodeId('endUser', endUserId),
        }),
        endUser: kit.endUser.related(t, {
          description:
            'The end user of the object as it is now; of an end user, itself. Null if it belongs to none, or the end user was deleted.',
          id: ({ endUserId }) => endUserId,
        }),
        snapshot: t.expose('snapshot', {
          type: snapshot,
          nullable: true,
          description: 'The object as it was. Null if its record was altered, but not by the gateway.',
        }),
        previousState: t.expose('previousState', {
          type: healthState(kit),
          nullable: true,
          description: 'The state before, of an event `STATE_CHANGED`.',
        }),
        state: t.expose('state', {
          type: healthState(kit),
          nullable: true,
          description: 'The state since then, of an event `STATE_CHANGED`.',
        }),
        problem: t.expose('problem', {
          type: problemCode(kit),
          nullable: true,
          description: 'What is wrong, of an event `CHECK_FAILED` or `REFRESH_FAILED`.',
        }),
        expiry: t.expose('expiry', { type: expiry, nullable: true, description: 'What expires, of an event `ABOUT_TO_EXPIRE`.' }),
      };
    },
  });

  builder.objectField(event.page, 'readUpTo', (t) =>
    t.string({
      nullable: true,
      description:
        'How far this page has read, as a cursor for `after`. Without a next page, it is beyond all events that there were, also those that the filters leave out. Continue here. Null when paging backward.',
      resolve: (source) => {
        const { page, range, request } = source as EventPage;
        if (request.before) return null;
        const last = page.continuesAt ? { position: page.continuesAt.value, id: page.continuesAt.id } : page.records.at(-1);
        if (page.hasMore) return encodeCursor(last ?? { position: NO_POSITION, id: LAST_ID }, request);
        const newest = last && String(last.position) > range.newest ? String(last.position) : range.newest;
        return cursorOfEvent(newest);
      },
    }),
  );

  /** Returns the position that a cursor has come to. @throws ValidationError when it is of another list */
  function positionIn(cursor: string, name: string): string {
    const { value, id } = decodeCursor(cursor, LIST, [name]);
    const position = String(value);
    // The cursor of what somebody else has stored has another text.
    if (!isPosition(position)) return lastPositionUpTo(position);
    return id === FIRST_ID ? positionOf(Number(position) - 1) : position;
  }

  const filters = {
    types: byValues(type, 'type', 'Only these types.'),
    integration: byReference(references.integration, 'integrationId', 'Only events of objects of this integration, and of itself.'),
    endUser: byReference(references.endUser, 'endUserId', 'Only events of objects of this end user, and of itself.'),
  };
  const filterArgs = (t: never) => Object.fromEntries(Object.entries(filters).map(([name, { argument }]) => [name, argument(t)])) as object;
  /** @throws ValidationError, InvalidIntegrationError, NotFoundError */
  const filterOf = async (args: object, context: GraphQLContext, info: never) => ({
    ...(await conditionsOf(filters, readArguments(info, args) as never, context)),
    ...readableEvents(context.viewer),
  });

  builder.queryField('events', (t) =>
    t.field({
      type: event.page as never,
      nullable: true,
      description:
        'Lists what has happened to the objects of the organization, oldest first, in one order that never changes: an event gets its place after it was committed, and never before one that has a place already. Read page by page, and later continue at `readUpTo`: then each event comes exactly once. A cursor that is older than the events that are kept gives the error `CURSOR_EXPIRED`. It contains only events of objects that you may read (`connections.get` and so on). Indexed: each single filter, and the types within an integration or an end user. Scope: `events.get`.',
      authScopes: { scope: 'events.get' },
      args: {
        ...pageArgs(t.arg),
        ...filterArgs(t.arg as never),
      },
      resolve: (async (_root: unknown, args: PageArgs, context: GraphQLContext, info: never): Promise<EventPage> => {
        const filter = await filterOf(args, context, info);
        let range: EventRange | undefined;
        const prepare = async () => {
          const [after, before] = (['after', 'before'] as const).map((name) => args[name] && positionIn(args[name], name));
          const position = after ?? before ?? undefined;
          range = await context.events.prepare(position);
          if (position === undefined) return;
          if (position < range.removed || position > range.newest) throw new CursorExpiredError();
        };
        const sort = { POSITION: { field: 'position', description: '', prepare } };
        // Only texts come after a text. What somebody else has stored there of another type comes before.
        const isFirst = args.after == null && args.before == null && args.last == null;
        const from = isFirst ? { ...args, after: cursorOfEvent(NO_POSITION) } : args;
        const source = await loadPage(context, 'event', filter as never, from, { field: 'POSITION', direction: 'ASC' }, sort);
        const { after: _, ...fromStart } = source.request;
        return withinRange(isFirst ? { ...source, request: fromStart } : source, range!);
      }) as never,
    }),
  );

  builder.subscriptionField('events', (t) =>
    t.field({
      type: event.type,
      description:
        'Tells what happens to the objects of the organization, as it happens: the events that the query `events` lists with the same filters, in the same order, each exactly once. It begins after `after`, or else with what happens from now on. Each message of the stream has the cursor of its event as its id, and the stream continues after the one that the header `Last-Event-ID` names, which counts instead of `after`. If events after that are not kept any more, the error is `CURSOR_EXPIRED`. Each event costs what the selection costs; who is over the rate limit waits. The stream ends when the token does. Scope: `events.get`.',
      authScopes: { scope: 'events.get' },
      args: {
        after: t.arg.string({ description: 'Start after this cursor.' }),
        ...filterArgs(t.arg as never),
      },
      subscribe: (async (_root: unknown, args: { readonly after?: string | null }, context: GraphQLContext, info: never) => {
        const { lastEventId, ...listening } = context.listening!;
        const filter = (await filterOf(args, context, info)) as never;
        const after = lastEventId ? positionIn(lastEventId, 'Last-Event-ID') : args.after ? positionIn(args.after, 'after') : undefined;
        return context.live.follow(context, { filter, after, ...listening });
      }) as never,
      resolve: ((record: EventRecord) => record) as never,
    }),
  );
}
