import { nouns } from '../access/scopes.ts';
import { byGlobalId, byText, byTime } from './kit/filter.ts';
import { encodeId, parseId } from './kit/global-id.ts';
import type { Kit } from './kit/index.ts';
import { recordFields } from './kit/record-fields.ts';
import { subjectOf, viewerKind } from './viewer.ts';

const sortFields = { CREATED_AT: { field: 'createdAt', description: 'When it happened.' } } as const;

/** Adds `AuditEntry` and the query for them. */
export function addAudit(kit: Kit): void {
  const { auditEntry, node } = kit;
  auditEntry.type.implement({
    description:
      'Something that was done, or refused. Written in the transaction that did it; names objects and never holds a value. Never changed afterwards.',
    interfaces: [node],
    authScopes: { scope: 'audit.get' },
    fields: (t) => {
      const { id, createdAt } = recordFields('auditEntry')(t);
      return {
        id,
        createdAt,
        viewerKind: t.expose('viewerKind', {
          type: viewerKind(kit),
          nullable: true,
          description: 'By what the viewer was known. Null: many viewers summed up, or an entry from before this was told.',
        }),
        subject: t.string({
          description:
            'Who: the subject of the token, or the global id of the API key or end user, which may be gone. In parentheses: the gateway itself.',
          resolve: ({ viewerKind: kind, subject }) => subjectOf({ kind: kind ?? 'token', subject }),
        }),
        address: t.exposeString('address', {
          nullable: true,
          description: 'The network address it came from. Null: from within, or summed up.',
        }),
        requestId: t.exposeString('requestId', {
          nullable: true,
          description: 'The `x-request-id` of the answer. Null: from within, or summed up.',
        }),
        action: t.exposeString('action', {
          description:
            'What was asked for: the name of a mutation, or what the gateway does by itself: `expireCredential`, `replaceDataKey`, `destroyDataKey`.',
        }),
        outcome: t.exposeString('outcome', { description: '`SUCCESS`, or the code of the error that refused it.' }),
        objectId: t.id({
          nullable: true,
          description: 'The global id of the object, which may be gone by now. Null for what was refused.',
          resolve: ({ objectNoun, objectId }) => {
            const noun = nouns.find((each) => each === objectNoun);
            return noun && objectId ? encodeId(noun, objectId) : null;
          },
        }),
        reason: t.exposeString('reason', {
          nullable: true,
          description:
            'The secret field and the reason that was given, for a reveal; the contact’s type and the `jti`, for an SSO link; the `jti`, for an end user’s token; the id of the data key, for what the gateway does to keys. Null elsewhere.',
        }),
        count: t.exposeInt('count', { description: 'How often within one minute. More than 1 only for what was refused.' }),
        isSealed: t.boolean({
          description: 'Whether it is in the chain of sealed batches, where a change shows. New entries are within a minute.',
          resolve: ({ sequence }) => sequence !== null,
        }),
      };
    },
  });
  auditEntry.list({
    name: 'auditLog',
    description:
      'What was done in the organization, newest first. An index serves each filter by itself, together with the time; several at once end at a time limit when they find little.',
    sort: { name: 'AuditSort', fields: sortFields },
    filters: {
      subject: byText('Only what this subject asked for, as the entries show it.', subjectFilter),
      action: byText('Only this, such as `revealSecret`.', (action) => ({ action })),
      outcome: byText('Only this, such as `SUCCESS` or `FORBIDDEN`.', (outcome) => ({ outcome })),
      objectId: byGlobalId('Only what was done to the object of this global id, which may be gone.', 'objectId'),
      since: byTime('Only from this time on.', (createdSince) => ({ createdSince })),
      until: byTime('Only before this time.', (createdBefore) => ({ createdBefore })),
    },
  });
}

/** The global id of an API key or end user means that viewer; any other text the subject of a token. */
function subjectFilter(subject: string) {
  const parsed = parseId(subject);
  const isViewer = parsed?.noun === 'apiKey' || parsed?.noun === 'endUser';
  return isViewer ? { viewerKind: parsed.noun, subject: parsed.id } : { subject };
}
