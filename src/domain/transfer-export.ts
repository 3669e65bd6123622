import type { CredentialKind } from '../credential-kinds/define.ts';
import { fitting } from '../credential-kinds/fit.ts';
import { UnreadableSecretError } from '../errors.ts';
import { checkInput } from '../fields/check.ts';
import type { Redacted } from '../redacted.ts';
import type { ConnectorRecord } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { EndUserRecord } from '../store/end-user.ts';
import type { BaseRecord, Filter, RecordStore } from '../store/records.ts';
import { shownSecrets } from '../store/token.ts';
import { schemeInput } from './auth-scheme.ts';
import type { DomainContext } from './context.ts';
import { revealFields } from './credential.ts';
import { mutate, recordAllAlso } from './mutate.ts';
import { shown } from './reading.ts';
import { checkRevealReason } from './reveal-reason.ts';
import { type Line, type LineOf, placeOf, type SecretPlace, TRANSFER_VERSION } from './transfer-lines.ts';

/** The number of records that are read with one command. */
const PAGE = 200;

export interface TransferExportOptions {
  /** If given, the export contains the secrets, sealed by `seal`. Otherwise it contains none. */
  readonly secrets?: {
    /** Why they are revealed, for the audit log: as for `revealSecret`. */
    readonly reason: string;
    readonly seal: (place: SecretPlace, plain: Redacted) => Promise<string>;
  };
  /** Called with what is left out, such as records that were altered. The text contains nothing of a record. */
  readonly onProblem: (message: string) => void;
}

/**
 * Exports an organization as lines of JSON: integrations, and of each its end users, credentials, connectors and connections, sorted by their names. API
 * keys, tokens, revocations and the audit log are not exported. Reads pages, so it holds little in memory, and it is no snapshot: what changes meanwhile
 * can be in it as it was before or after.
 *
 * Each secret that is exported leaves an entry `revealSecret` in the audit log, which is committed before the secret is opened.
 *
 * @throws ValidationError when the reason does not say enough
 */
export async function* exportLines(context: DomainContext, { secrets, onProblem }: TransferExportOptions): AsyncGenerator<string> {
  const { store, policy } = context;
  if (secrets) {
    checkInput({ reason: revealFields.reason }, { reason: secrets.reason });
    checkRevealReason(secrets.reason, policy.revealReasonPattern);
  }
  let count = 0;
  const text = (line: Line) => {
    count++;
    return JSON.stringify(line);
  };
  yield text({ type: 'header', version: TRANSFER_VERSION, secrets: secrets ? 'sealed' : 'none' });
  for await (const integrations of pagesOf(store.integrations, {}, 'name')) {
    for (const { id, name, description, ssoClaims = null, expiryNotices } of integrations) {
      yield text({ type: 'integration', name, description, ssoClaims, ...(expiryNotices && { expiryNotices: [...expiryNotices] }) });
      for await (const page of pagesOf(store.endUsers, { integrationId: id }, 'externalId')) {
        for (const { externalId, displayName, contacts } of page) {
          yield text({ type: 'endUser', integration: name, externalId, displayName, contacts: [...contacts] });
        }
      }
      for await (const page of pagesOf(store.credentials, { integrationId: id }, 'name')) {
        const known = shown(context, 'credential', page);
        if (known.length < page.length)
          onProblem(`left out ${counted(page.length - known.length, 'credential')} of a kind that this gateway does not know`);
        const outdated = known.filter((record) => context.kinds.misfits(record).length > 0);
        if (outdated.length > 0)
          onProblem(`wrote ${counted(outdated.length, 'credential')} without the settings that do not fit their kinds any more`);
        const owners = await intactById(store.endUsers, known, ({ endUserId }) => endUserId);
        const owned = withAll(known, 'credential', ({ endUserId }) => [[owners, endUserId]]);
        const lines = new Map(owned.map((record) => [record.id, credentialLine(name, context.kinds.of(record), record, owners)]));
        const sealed = await sealedOf(id, owned, lines);
        for (const line of lines.values()) yield text({ ...line, secrets: { ...line.secrets, ...sealed.get(line.reference) } });
      }
      for await (const page of pagesOf(store.connectors, { integrationId: id }, 'name')) {
        for (const record of page) yield text(connectorLine(name, record));
      }
      for await (const page of pagesOf(store.connections, { integrationId: id }, 'name')) {
        const owners = await intactById(store.endUsers, page, ({ endUserId }) => endUserId);
        const connectors = await intactById(store.connectors, page, ({ connectorId }) => connectorId);
        const owned = withAll(page, 'connection', ({ endUserId, connectorId }) => [
          [owners, endUserId],
          [connectors, connectorId],
        ]);
        for (const {
          id: ownId,
          name: own,
          connectorId,
          endUserId,
          allowedDomain,
          baseUrl = null,
          variables,
          actionCredentials,
          triggerCredentials,
        } of owned) {
          const entry = ({ credentialId, authScheme }: (typeof actionCredentials)[number]) => ({
            credential: credentialId,
            authScheme: authScheme && schemeInput(authScheme),
          });
          yield text({
            type: 'connection',
            integration: name,
            connector: connectorId === null ? null : connectors.get(connectorId)!.name,
            endUser: endUserId === null ? null : owners.get(endUserId)!.externalId,
            name: own,
            ...(endUserId !== null && owners.get(endUserId)!.primaryConnectionId === ownId && { isPrimary: true }),
            allowedDomain,
            baseUrl,
            variables,
            actionCredentials: actionCredentials.map(entry),
            triggerCredentials: triggerCredentials.map(entry),
          });
        }
      }
    }
  }
  yield text({ type: 'end', lines: count });

  /** Reads all records of a list, in pages. Leaves out altered ones. */
  async function* pagesOf<R extends BaseRecord>(
    records: RecordStore<R>,
    filter: Filter<R>,
    sortField: keyof R & string,
  ): AsyncGenerator<R[]> {
    for (let after: { readonly value: string; readonly id: string } | undefined; ; ) {
      const page = await records.evenAltered.page(filter, { limit: PAGE, sortField, descending: false, ...(after && { after }) });
      const intact = page.records.filter(({ isAltered }) => !isAltered);
      if (intact.length < page.records.length) {
        onProblem(`left out ${counted(page.records.length - intact.length, 'object')} changed by somebody else than the gateway`);
      }
      yield intact;
      const last = page.records.at(-1);
      if (!page.hasMore || !last) return;
      after = { value: String(last[sortField]), id: last.id };
    }
  }

  /** Returns the records that others refer to, by id, without altered ones: nothing proves what these say. */
  async function intactById<R extends BaseRecord, Source>(
    records: RecordStore<R>,
    sources: readonly Source[],
    idOf: (source: Source) => string | null,
  ): Promise<Map<string, R>> {
    const ids = [...new Set(sources.flatMap((source) => idOf(source) ?? []))];
    const found = ids.length === 0 ? [] : await records.evenAltered.byIds(ids);
    return new Map(found.filter(({ isAltered }) => !isAltered).map((record) => [record.id, record]));
  }

  /** Leaves out records whose owners are not among those that were found: they were altered, or deleted in the meantime. */
  function withAll<R>(
    records: readonly R[],
    noun: string,
    ownersOf: (record: R) => readonly (readonly [ReadonlyMap<string, unknown>, string | null])[],
  ): R[] {
    const kept = records.filter((record) => ownersOf(record).every(([found, id]) => id === null || found.has(id)));
    const leftOut = records.length - kept.length;
    if (leftOut > 0) {
      onProblem(
        `left out ${counted(leftOut, noun)} of an end user or a connector that does not exist any more, or was changed by somebody else than the gateway`,
      );
    }
    return kept;
  }

  /** Reveals and seals the secrets of credentials, by credential and field. */
  async function sealedOf(
    integrationId: string,
    credentials: readonly CredentialRecord[],
    lines: ReadonlyMap<string, LineOf<'credential'>>,
  ): Promise<Map<string, Record<string, string>>> {
    const sealed = new Map<string, Record<string, string>>();
    const places = credentials.flatMap((record) => shownSecrets(record.secrets).map((field) => ({ record, field })));
    if (!secrets || places.length === 0) return sealed;
    const action = { name: 'exportSecrets', noun: 'integration', address: null, requestId: null } as const;
    const acting = { ...context, action };
    // The entries are committed before anything is opened.
    await mutate(acting, async () => {
      const revealed = places.map(({ record, field }) => ({
        ...({ action: 'revealSecret', noun: 'credential' } as const),
        ids: [record.id],
        note: `${field}: ${secrets.reason}`,
        object: null,
      }));
      await recordAllAlso(acting, revealed);
      await store.credentials.tell('SECRET_REVEALED', [...new Set(places.map(({ record }) => record))]);
      return integrationId;
    });
    for (const { record, field } of places) {
      const own = sealed.get(record.id) ?? {};
      sealed.set(record.id, own);
      try {
        own[field] = await secrets.seal(placeOf(lines.get(record.id)!, field), await store.secrets.open(record, field));
      } catch (error) {
        if (!(error instanceof UnreadableSecretError)) throw error;
        onProblem('left out a secret that cannot be opened');
      }
    }
    return sealed;
  }
}

const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** Returns the line of a credential, without its secrets: null stands for each that is set. */
function credentialLine(
  integration: string,
  definition: CredentialKind,
  { id, endUserId, name, description, enabled, expiresAt, kind, settings, secrets, ...rest }: CredentialRecord,
  owners: ReadonlyMap<string, EndUserRecord>,
): LineOf<'credential'> {
  const shown = shownSecrets(secrets);
  const byEndUser = shown.filter((field) => secrets[field]!.byEndUser);
  return {
    type: 'credential',
    integration,
    reference: id,
    endUser: endUserId === null ? null : owners.get(endUserId)!.externalId,
    name,
    description,
    enabled,
    expiresAt: expiresAt === null ? null : expiresAt.toISOString(),
    allowedDomains: rest.allowedDomains ?? [],
    allowedPurposes: rest.allowedPurposes ?? [],
    ...(rest.pendingSecrets?.length && { pending: true }),
    kind,
    // A text of a field that is secret now does not fit, and must not leave.
    settings: fitting(definition, settings),
    secrets: Object.fromEntries(shown.map((field) => [field, null])),
    ...(byEndUser.length > 0 && { byEndUser }),
  };
}

function connectorLine(
  integration: string,
  { name, description, baseUrl, endUsersMayUseClient = false, check = null, authSchemes }: ConnectorRecord,
): LineOf<'connector'> {
  return {
    type: 'connector',
    integration,
    name,
    description,
    baseUrl,
    endUsersMayUseClient,
    check,
    authSchemes: authSchemes.map(schemeInput),
  };
}
