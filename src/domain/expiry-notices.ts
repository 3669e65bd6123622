import { choiceList } from '../fields/field.ts';
import type { CredentialRecord } from '../store/credential.ts';
import { happened } from '../store/event-forms.ts';
import { NEVER, UNSETTLED } from '../store/health.ts';
import type { OrganizationStore } from '../store/index.ts';
import type { IntegrationRecord } from '../store/integration.ts';
import type { GatewayContext } from './context.ts';
import type { Expiring } from './events.ts';
import { expiriesOf } from './health.ts';
import { inTurnByOrganization } from './in-turn.ts';
import { isSameValue } from './same-value.ts';

const DAY_MS = 24 * 60 * 60_000;
const BATCH = 200;
/** The next run handles the rest, so that one organization does not delay the others for long. */
const BATCHES_MAX = 50;

/** The times before an expiry at which an event can say so, with their number of days. */
const daysOf = { DAYS_90: 90, DAYS_60: 60, DAYS_30: 30, DAYS_14: 14, DAYS_7: 7, DAYS_3: 3, DAYS_1: 1 } as const;
type Notice = keyof typeof daysOf;
const byDefault = ['DAYS_30', 'DAYS_7', 'DAYS_1'] as const satisfies Notice[];

/** The field of an integration that says when events tell that its credentials are about to expire. */
export const expiryNoticesField = choiceList({
  choices: {
    enumName: 'ExpiryNotice',
    description: 'How long before a credential, its certificate or its token expires an event says so.',
    values: {
      DAYS_90: '90 days before.',
      DAYS_60: '60 days before.',
      DAYS_30: '30 days before.',
      DAYS_14: '14 days before.',
      DAYS_7: '7 days before.',
      DAYS_3: '3 days before.',
      DAYS_1: 'One day before.',
    },
  },
  minItems: 0,
  maxItems: 7,
  optional: true,
  default: byDefault,
  description: 'When an event `ABOUT_TO_EXPIRE` is written before a credential, its certificate or its token expires. `[]` for never.',
});

/**
 * Returns when the next event is due that says that a credential is about to expire, for a record that is written. If nothing changes about when it
 * expires, it stays as it is. Otherwise the job determines it from now on, because it depends on the integration: an event of another expiry can become
 * due before the job runs, or be due already.
 */
export function noticeDue(record: CredentialRecord, before: CredentialRecord | null, now: Date): Pick<CredentialRecord, 'noticeAt'> {
  const expiries = expiriesOf(record);
  if (before !== null && isSameValue(expiries as never, expiriesOf(before) as never)) return {};
  const isDue = before?.noticeAt && before.noticeAt < now;
  return { noticeAt: expiries.length === 0 ? NEVER : isDue ? before.noticeAt : now };
}

/**
 * Writes an event for each credential that is about to expire. Each is written once: the transaction also writes when the next one is due. It does not matter
 * when this runs, whether several copies of the gateway run it at once, or whether it is interrupted.
 *
 * @throws AggregateError of an OrganizationError for each organization that failed, at the end
 */
export async function noticeExpiries(gateway: GatewayContext): Promise<void> {
  const organizations = (await gateway.stores.liveOrganizations()).map((organizationId) => ({ organizationId }));
  await inTurnByOrganization(organizations, async ({ organizationId }) => {
    const store = gateway.stores.of(organizationId);
    for (let batch = 0; batch < BATCHES_MAX; batch++) if (await noticeSome(gateway, store)) return;
  });
}

/** Writes the events of some credentials that are due. Returns whether these were all. */
async function noticeSome({ now }: Pick<GatewayContext, 'now'>, store: OrganizationStore): Promise<boolean> {
  const { credentials, integrations, transaction } = store;
  const first = await credentials.expiring(BATCH);
  if (first.intact.length + first.altered.length === 0) return true;
  return transaction(async () => {
    const { intact, altered } = await credentials.expiring(BATCH);
    const owners = await integrations.evenAltered.byIds([...new Set(intact.map(({ integrationId }) => integrationId))]);
    const at = now();
    await credentials.annotateAll([
      ...intact.map((record) => {
        const { due, next } = noticesOf(
          record,
          owners.find(({ id }) => id === record.integrationId),
          at,
        );
        const also = due.map((expiry) => happened('credential', 'ABOUT_TO_EXPIRE', record as never, { expiry }));
        return { id: record.id, before: record, fields: { noticeAt: next }, also };
      }),
      // Nothing is told about what somebody else has written.
      ...altered.map((id) => ({ id, before: null, fields: { noticeAt: NEVER } })),
    ]);
    return intact.length + altered.length < BATCH;
  });
}

/**
 * Returns the events that are due, and when the next one is. Of several for the same expiry that are due at once, because the gateway did not run, only the
 * last is written.
 */
function noticesOf(record: CredentialRecord, integration: IntegrationRecord | undefined, now: Date) {
  const { expiryNotices } = integration && !integration.isAltered ? integration : {};
  const days = ((expiryNotices ?? byDefault) as readonly Notice[]).map((notice) => daysOf[notice]).sort((a, b) => b - a);
  const since = record.noticeAt ?? UNSETTLED;
  const due: { what: Expiring; at: Date; days: number }[] = [];
  let next = NEVER;
  for (const { what, at } of expiriesOf(record)) {
    const notices = days.map((each) => ({ days: each, time: new Date(at.getTime() - each * DAY_MS) }));
    // What was due before anybody knew of it is not told any more: whoever wrote it knew.
    const last = since.getTime() === UNSETTLED.getTime() ? undefined : notices.findLast(({ time }) => time >= since && time <= now);
    if (last && at > now) due.push({ what, at, days: last.days });
    const following = notices.find(({ time }) => time > now);
    if (following && following.time < next) next = following.time;
  }
  return { due, next };
}
