import { nouns } from '../access/scopes.ts';
import type { AuditRecord } from '../domain/reading.ts';
import { errorCodes } from '../errors.ts';
import { subjectOf, viewerKind } from './kit/actor.ts';
import { actionOf, auditAction } from './kit/audit-action.ts';
import { type AuditOutcome, auditOutcome } from './kit/closed-sets.ts';
import { byGlobalId, byKnownValue, byText, byTime } from './kit/filter.ts';
import { encodeId, parseId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { recordFields } from './kit/record-fields.ts';

const sortFields = { CREATED_AT: { field: 'createdAt', description: 'The time of the entry.' } } as const;

/** Adds `AuditEntry` and the query for them. */
export function addAudit(kit: Kit): void {
  const { auditEntry, node } = kit;
  auditEntry.type.implement({
    description:
      'An action that succeeded or was refused. A successful action and its entry are written in one transaction. It contains ids but never values, and is never changed.',
    interfaces: [node],
    authScopes: { scope: 'audit.get' },
    fields: (t) => {
      const { id, createdAt } = recordFields('auditEntry', kit.builder)(t);
      return {
        id,
        createdAt,
        viewerKind: t.expose('viewerKind', {
          type: viewerKind(kit.builder),
          nullable: true,
          description: 'How the viewer was authenticated. Null if the entry sums up several viewers, or is too old to contain it.',
        }),
        subject: t.string({
          description:
            'The viewer: the subject of the token, or the global id of the API key or end user, which may have been deleted. In parentheses if it is the gateway itself.',
          resolve: ({ viewerKind: kind, subject }) => subjectOf({ kind: kind ?? 'token', subject }),
        }),
        address: t.exposeString('address', {
          nullable: true,
          description:
            'The network address of the client. If the entry sums up several refusals of one viewer, that of the first. Null if the gateway acted by itself, or the entry sums up reads, requests by `/proxy` or several viewers.',
        }),
        requestId: t.exposeString('requestId', {
          nullable: true,
          description: 'The `X-Request-Id` of the response, which errors tell as `requestId`. Null in the same cases as `address`.',
        }),
        action: t.field({
          type: auditAction(kit.builder),
          description:
            'What was done, or refused. For what another action did besides its own object, the mutation that would do it alone.',
          resolve: ({ action }) => actionOf(kit.builder, action),
        }),
        outcome: t.field({
          type: auditOutcome(kit.builder),
          description: 'Whether it was carried out, or the error code if it was refused.',
          // Other versions of the gateway can know other codes.
          resolve: ({ outcome }) => (outcome === 'SUCCESS' || Object.hasOwn(errorCodes, outcome) ? (outcome as AuditOutcome) : 'OTHER'),
        }),
        objectId: t.id({
          nullable: true,
          description:
            'The global id of the object, which may have been deleted; for `readCredentials`, of the end user or integration that the credentials belong to. Null if the action was refused, or the entry sums up requests over several connections.',
          resolve: objectIdOf,
        }),
        object: kit.relatedNode(t, {
          description: 'The object as it is now. Null if it was deleted, or there is no `objectId`.',
          of: ({ objectNoun, objectId }) => ({ noun: objectNoun, id: objectId }),
        }),
        reason: t.exposeString('reason', {
          nullable: true,
          description:
            'For what an action did besides its own object, that action and the global id of its object, such as `with deleteEndUser of RW5kVXNlcjo…`; for an update whose values were all stored already, `nothing changed`; for a reveal, the secret field and the given reason; for an SSO link, the contact type and the `jti`; for an end user’s token, the `jti`; for a revocation of tokens, the time and, for tokens of the issuer, their `sub`; for `authorizeRequest`, the purpose and the host, such as `ACTION: api.example.com`; for `proxyRequest`, the purpose, unless the entry sums up several requests; for `refreshCredential` of the gateway itself, why the tokens are not renewed any more; for actions on data keys, the id of the data key; for `missAuditEntries`, the writer and its numbers. Null for other actions.',
        }),
        count: t.exposeInt('count', {
          description:
            'How many times it happened within one minute, or how many credentials were read. Greater than 1 only for refused actions, reads, and requests by `/proxy` that are summed (`AUDIT_PROXIED_REQUESTS`).',
        }),
        isSealed: t.boolean({
          description:
            'Whether it is part of the chain of sealed batches. New entries are added within a minute. An entry that is not added later was not written by the gateway, or was changed.',
          resolve: ({ sequence }) => sequence !== null,
        }),
      };
    },
  });
  auditEntry.list({
    name: 'auditLog',
    description:
      'Lists the audit entries of the organization, newest first. Indexed: each single filter, combined with a time range. Several filters together can have short pages: see `AuditEntryPage`.',
    sort: { name: 'AuditSort', fields: sortFields },
    filters: {
      subject: byText('Only entries with this `subject`.', subjectFilter),
      action: byKnownValue(() => auditAction(kit.builder), 'action', 'Only this action, such as `revealSecret`, which cannot be `OTHER`.'),
      outcome: byKnownValue(() => auditOutcome(kit.builder), 'outcome', 'Only this outcome, which cannot be `OTHER`.'),
      objectId: byGlobalId('Only entries about the object with this global id, which may have been deleted.', 'objectId'),
      since: byTime('Only entries at or after this time.', (createdSince) => ({ createdSince })),
      until: byTime('Only entries before this time.', (createdBefore) => ({ createdBefore })),
    },
  });
}

/** Returns an entry as `auditLog` shows it, for what is streamed to a sink. */
export function shownEntry(entry: AuditRecord): Record<string, unknown> {
  const { id, createdAt, viewerKind, subject, address, requestId, action, outcome, reason, count } = entry;
  return {
    id: encodeId('auditEntry', id),
    createdAt,
    viewerKind: viewerKind ?? null,
    subject: subjectOf({ kind: viewerKind ?? 'token', subject }),
    address,
    requestId,
    action,
    outcome,
    // An organization, in the log of the platform, has no global id.
    objectId: objectIdOf(entry) ?? (entry.objectNoun === 'organization' ? entry.objectId : null),
    reason,
    count,
  };
}

function objectIdOf({ objectNoun, objectId }: Pick<AuditRecord, 'objectNoun' | 'objectId'>): string | null {
  const noun = nouns.find((each) => each === objectNoun);
  return noun && objectId ? encodeId(noun, objectId) : null;
}

/** A global id of an API key or end user selects that viewer; any other text is the subject of a token. */
function subjectFilter(subject: string) {
  const parsed = parseId(subject);
  const isViewer = parsed?.noun === 'apiKey' || parsed?.noun === 'endUser';
  return isViewer ? { viewerKind: parsed.noun, subject: parsed.id } : { subject };
}
