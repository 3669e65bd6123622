import { type Noun, nouns, nounTable } from '../access/nouns.ts';
import { NotFoundError } from '../errors.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { BaseRecord } from '../store/records.ts';
import type { UnreadableSecret } from '../store/secret.ts';
import type { WebhookRecord } from '../store/webhook.ts';
import type { GatewayContext } from './context.ts';

const RECORDS_PER_BATCH = 500;

interface Found {
  readonly altered: readonly string[];
  readonly intact: readonly BaseRecord[];
  readonly last: string | null;
}

export interface IntegrityReport {
  /** The records that are not as the gateway wrote them. */
  readonly altered: readonly { readonly noun: Noun; readonly id: string }[];
  /** The secrets that cannot be opened, of credentials and webhooks. Those of altered ones are not opened. */
  readonly unreadable: readonly UnreadableSecret[];
}

/** Verifies all records and opens all secrets of an organization. @throws NotFoundError when there is no such organization */
export async function checkIntegrity({ stores, findings, now }: GatewayContext, organizationId: string): Promise<IntegrityReport> {
  const store = stores.of(organizationId);
  if ((await store.organization.state()) !== 'live') throw new NotFoundError('organization', ['organizationId']);
  const altered: { noun: Noun; id: string }[] = [];
  const unreadable: UnreadableSecret[] = [];
  for (const noun of nouns) {
    for (let after: string | null = ''; after !== null; ) {
      const { last, ...batch }: Found = await store[nounTable[noun].plural].findAltered(after, RECORDS_PER_BATCH);
      altered.push(...batch.altered.map((id) => ({ noun, id })));
      if (noun === 'credential') {
        const credentials = batch.intact as readonly CredentialRecord[];
        const found = await store.secrets.findUnreadable(credentials);
        unreadable.push(...found);
        // The store has noted those that cannot be opened.
        const broken = new Set(found.map(({ credentialId }) => credentialId));
        const mended = credentials.filter(
          (each) => !broken.has(each.id) && each.findings?.some(({ code }) => code === 'SECRET_UNREADABLE'),
        );
        for (const each of mended) findings.noteReadable(each, now());
      }
      if (noun === 'webhook') unreadable.push(...(await store.webhooks.findUnreadable(batch.intact as readonly WebhookRecord[])));
      after = last;
    }
  }
  return { altered, unreadable };
}
