import { createHash } from 'node:crypto';
import {
  AlteredRecordError,
  GatewayError,
  type Issue,
  NotFoundError,
  UnavailableError,
  UnreadableSecretError,
  ValidationError,
} from '../errors.ts';
import { checkChanges, checkInput } from '../fields/check.ts';
import type { Redacted } from '../redacted.ts';
import type { AuthScheme } from '../store/connector.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { ContactType, EndUserRecord } from '../store/end-user.ts';
import { type AuthSchemeInput, credentialSettings, credentialsNamedBy, schemeInput } from './auth-scheme.ts';
import { type List, lists } from './connection-entries.ts';
import { type ImportedConnection, importEachConnection } from './connection-import.ts';
import { createConnector, updateConnector } from './connector.ts';
import type { DomainContext } from './context.ts';
import {
  insertCredentials,
  mergeCredential,
  type NewCredential,
  type PreparedCredential,
  prepareCredential,
  unsealedCredential,
} from './credential.ts';
import { endUserFields, endUserIdentity, keepVerified } from './end-user.ts';
import { failed, forEachItem, type ImportResult, type ImportStatus, ItemError, importInChunks, isAboutItem, issuesOf } from './import.ts';
import { createIntegration, updateIntegration } from './integration.ts';
import { type AlsoDone, type MutationContext, mutate, recordAllAlso } from './mutate.ts';
import { isUnchanged, newRecord, updateRecord } from './records.ts';
import { findConnector, findIntegration, requireIntegration } from './references.ts';
import { isSealed, type Line, LineError, type LineOf, parseLine, placeOf, type RecordType, type SecretPlace } from './transfer-lines.ts';

/** The number of lines that are imported together, at most. */
const LINES_AT_ONCE = 500;

/** How an import proceeds, and what it finds. */
export interface TransferReport {
  /** The number of records by what has become of them. */
  readonly counts: Record<ImportStatus, number>;
  /** The number of lines that were read, without the header, the end and blank lines. */
  lines: number;
  /** The number of lines with a problem: not imported, or not as the file says. */
  problems: number;
  /** Whether the first line is the header of an export. */
  hasHeader: boolean;
  /** Whether the last line is the end of an export, and says how many lines there are. Otherwise lines are missing. */
  hasEnd: boolean;
}

export interface TransferImportOptions {
  /** Opens a sealed secret. Undefined if there is no key. @throws UnreadableSecretError */
  readonly open?: (place: SecretPlace, sealed: string) => Promise<Redacted>;
  /** Whether the secrets in the file replace those of credentials that exist already. */
  readonly replaceSecrets?: boolean;
  /** Called with the number of a line, from 1, and what is wrong. The text contains nothing from the file. */
  readonly onProblem: (line: number, message: string) => void;
  readonly onProgress?: (report: TransferReport) => void;
}

interface Numbered<T extends RecordType = RecordType> {
  readonly number: number;
  readonly line: LineOf<T>;
}

/** What has become of a line. */
interface LineResult extends ImportResult {
  /** How the record differs from the line. Said only if the line did not fail. */
  readonly note?: string | undefined;
}

/** The form of a record's id. A reference in a file can have any form. */
const ID = /^[0-9a-f]{24}$/;

/** Returns the id that an import gives to the credential of a reference. It is always the same, so an import can be repeated. */
function derivedId(organizationId: string, integrationId: string, reference: string): string {
  return createHash('sha256')
    .update(JSON.stringify([organizationId, integrationId, reference]))
    .digest('hex')
    .slice(0, 24);
}

/**
 * Returns the existing credentials of an integration that references of a file stand for, even altered ones. A reference that is the id of a credential
 * stands for that one: the file was exported from here. Otherwise it stands for the one that an earlier import has created for it.
 */
async function existingCredentials(
  { store, viewer }: DomainContext,
  integrationId: string,
  references: readonly string[],
): Promise<Map<string, CredentialRecord>> {
  const idsOf = (reference: string) => [
    ...(ID.test(reference) ? [reference] : []),
    derivedId(viewer.organizationId, integrationId, reference),
  ];
  const ids = [...new Set(references.flatMap(idsOf))];
  const found = ids.length === 0 ? [] : await store.credentials.evenAltered.byIds(ids);
  const byId = new Map(found.filter((record) => record.integrationId === integrationId).map((record) => [record.id, record]));
  return new Map(
    references.flatMap((reference) => {
      const record = idsOf(reference)
        .map((id) => byId.get(id))
        .find(Boolean);
      return record ? [[reference, record] as const] : [];
    }),
  );
}

/**
 * Imports the lines of an export. What exists already is updated: integrations and connectors by name, end users by external id, credentials by their
 * reference in the file, connections by name, connector and end user. So it can be stopped, and run again: what was imported before is unchanged. A line
 * that cannot be imported is reported, and the others are imported. Where a line names a credential that does not exist, what exists already keeps the
 * credentials that it has. Reads the lines as they are needed. A `LineError` stands for a line that could not be read.
 *
 * @throws SealedFileError when the header says that there are sealed secrets, and there is no key. Nothing was imported then
 * @throws UnavailableError when the database does not respond; whatever else is not about single lines
 */
export async function importLines(
  context: DomainContext,
  lines: AsyncIterable<string | LineError>,
  { open, replaceSecrets = false, onProblem, onProgress }: TransferImportOptions,
): Promise<TransferReport> {
  const report: TransferReport = {
    counts: { CREATED: 0, UPDATED: 0, UNCHANGED: 0, FAILED: 0 },
    lines: 0,
    problems: 0,
    hasHeader: false,
    hasEnd: false,
  };
  let pending: Numbered[] = [];

  const act = (name: string, noun: 'integration' | 'connector'): MutationContext => ({
    ...context,
    action: { name, noun, address: null, requestId: null },
  });
  function problem(number: number, message: string): void {
    report.problems++;
    onProblem(number, message);
  }
  function count(numbered: readonly Numbered[], results: readonly LineResult[]): void {
    for (const [index, { status, error, note }] of results.entries()) {
      if (error instanceof UnavailableError) throw error;
      report.counts[status]++;
      const message = error ? sentenceAbout(error) : note;
      if (message !== undefined) problem(numbered[index]!.number, message);
    }
  }
  /** Runs a mutation for one line. */
  async function one(numbered: Numbered, run: () => Promise<LineResult>): Promise<void> {
    const result = await run().catch((error: unknown) => {
      if (!isAboutItem(error)) throw error;
      return failed(error);
    });
    count([numbered], [result]);
  }

  const importers: { readonly [T in RecordType]: (all: readonly Numbered<T>[]) => Promise<void> } = {
    async integration(all) {
      for (const each of all) {
        const { type: _, ...fields } = each.line;
        await one(each, async () => {
          const existing = await findIntegration(context, { name: fields.name });
          const record = existing
            ? await updateIntegration(act('updateIntegration', 'integration'), { integration: { id: existing.id }, ...fields } as never)
            : await createIntegration(act('createIntegration', 'integration'), fields as never);
          return resultOf(existing, record);
        });
      }
    },
    async connector(all) {
      for (const each of all) {
        const { type: _, integration: name, authSchemes, ...fields } = each.line;
        await one(each, async () => {
          const integration = await requireIntegration(context, { name }, ['integration']);
          const existing = await findConnector(context, { inIntegration: { integration: { id: integration.id }, name: fields.name } });
          const { schemes, note } = await withIds(integration.id, authSchemes ?? [], existing?.authSchemes ?? []);
          const input = { ...fields, authSchemes: schemes };
          const record = existing
            ? await updateConnector(act('updateConnector', 'connector'), { connector: { id: existing.id }, ...input } as never)
            : await createConnector(act('createConnector', 'connector'), { integration: { id: integration.id }, ...input } as never);
          return { ...resultOf(existing, record), note };
        });
      }
    },
    async endUser(all) {
      count(
        all,
        await importEndUsers(
          act('importEndUsers', 'integration'),
          all[0]!.line.integration,
          all.map(({ line }) => line),
        ),
      );
    },
    async credential(all) {
      const opened = await forEachItem(all, ({ line }) => withSecrets(line));
      count(all, await importCredentials(act('importCredentials', 'integration'), all[0]!.line.integration, opened, replaceSecrets));
    },
    async connection(all) {
      const name = all[0]!.line.integration;
      const integration = await requireIntegration(context, { name }, ['integration']);
      const known = await existingCredentials(
        context,
        integration.id,
        all.flatMap(({ line }) => lists.flatMap((list) => referencesIn(line[list]))),
      );
      const incomplete = new Map<ImportedConnection, readonly List[]>();
      const missing: number[] = [];
      const connections = all.map(({ line }, index): ImportedConnection => {
        const { type: _, integration: __, connector, endUser, isPrimary: ___, actionCredentials, triggerCredentials, ...fields } = line;
        const named = { id: integration.id };
        const entries = (list: typeof actionCredentials) =>
          (list ?? []).flatMap(({ credential, authScheme }) => {
            const id = known.get(credential)?.id;
            return id === undefined ? [] : [{ credential: { id }, authScheme: authScheme && replaceReferences(authScheme, known) }];
          });
        const item = {
          ...fields,
          connector: connector == null ? null : { inIntegration: { integration: named, name: connector } },
          endUser: endUser == null ? null : { inIntegration: { integration: named, externalId: endUser } },
          actionCredentials: entries(actionCredentials),
          triggerCredentials: entries(triggerCredentials),
        } as ImportedConnection;
        const unknown = (list: List) => referencesIn(line[list]).filter((reference) => !known.has(reference));
        incomplete.set(
          item,
          lists.filter((list) => unknown(list).length > 0),
        );
        missing[index] = new Set(lists.flatMap(unknown)).size;
        return item;
      });
      const input = { integration: { id: integration.id }, connections };
      const results = await importEachConnection(act('importConnections', 'integration'), input, incomplete);
      await importPrimaries(
        act('importConnections', 'integration'),
        integration.id,
        results.flatMap(({ id }, index) => (id !== null && all[index]!.line.isPrimary ? id : [])),
      );
      const noteOf = ({ status }: ImportResult, index: number): string | undefined => {
        if (missing[index] === 0) return undefined;
        return status === 'CREATED' ? importedWithout(missing[index]!) : keptBecause(missing[index]!, incomplete.get(connections[index]!)!);
      };
      count(
        all,
        results.map((result, index) => ({ ...result, note: noteOf(result, index) })),
      );
    },
  };

  /**
   * Returns the schemes of a connector with ids in the place of references. A scheme with a reference that stands for nothing stays as it is stored; if it
   * is new, it has no id there.
   */
  async function withIds(
    integrationId: string,
    schemes: readonly Record<string, unknown>[],
    stored: readonly AuthScheme[],
  ): Promise<{ readonly schemes: AuthSchemeInput[]; readonly note: string | undefined }> {
    const known = await existingCredentials(context, integrationId, schemes.flatMap(referencesOfScheme));
    const kept = new Set<string>();
    const left = new Set<string>();
    const replaced = schemes.map((scheme) => {
      const missing = referencesOfScheme(scheme).filter((reference) => !known.has(reference));
      const existing = missing.length > 0 && stored.find(({ id }) => id === scheme.schemeId);
      for (const reference of missing) (existing ? kept : left).add(reference);
      return existing ? (schemeInput(existing) as unknown as AuthSchemeInput) : replaceReferences(scheme, known);
    });
    const notes = [
      ...(left.size > 0 ? [importedWithout(left.size)] : []),
      ...(kept.size > 0 ? [keptBecause(kept.size, ['authSchemes'])] : []),
    ];
    return { schemes: replaced, note: notes.length > 0 ? notes.join('; ') : undefined };
  }

  /** Opens the secrets of a line. The secrets that it does not contain are undefined. */
  async function withSecrets(line: LineOf<'credential'>): Promise<OpenedCredential> {
    const secrets: Record<string, Redacted> = {};
    let lacks: 'file' | 'key' | undefined;
    const fields = context.kinds.find(line.kind)?.fields;
    const isPlain = Object.keys(line.settings).some((name) => fields && Object.hasOwn(fields, name) && fields[name]!.secret);
    if (isPlain || Object.values(line.secrets).some((secret) => secret !== null && !isSealed(secret))) {
      return { line, secrets, lacks, error: new NotSealedError() };
    }
    for (const [field, sealed] of Object.entries(line.secrets)) {
      if (sealed === null) lacks = 'file';
      else if (!open) lacks ??= 'key';
      else {
        try {
          secrets[field] = await open(placeOf(line, field), sealed);
        } catch (error) {
          if (!(error instanceof UnreadableSecretError)) throw error;
          return { line, secrets, lacks, error };
        }
      }
    }
    return { line, secrets, lacks, error: undefined };
  }

  async function flush(): Promise<void> {
    const all = pending;
    pending = [];
    const [first] = all;
    if (!first) return;
    try {
      await (importers[first.line.type] as (all: readonly Numbered[]) => Promise<void>)(all);
    } catch (error) {
      // Such as an integration that does not exist: it is said of each line.
      if (!isAboutItem(error)) throw error;
      count(
        all,
        all.map(() => failed(error)),
      );
    }
    onProgress?.(report);
  }

  let number = 0;
  /** The number of lines that are not blank. */
  let written = 0;
  for await (const text of lines) {
    number++;
    if (typeof text === 'string' && text.trim() === '') continue;
    written++;
    report.hasEnd = false;
    try {
      if (typeof text !== 'string') throw text;
      const line: Line = parseLine(text);
      if (line.type === 'header') {
        if (written > 1) throw new LineError('is a header, and not the first line');
        if (line.secrets === 'sealed' && !open) throw new SealedFileError();
        report.hasHeader = true;
        continue;
      }
      if (line.type === 'end') {
        report.hasEnd = line.lines === written - 1;
        continue;
      }
      report.lines++;
      const [first] = pending;
      const isNext = first && first.line.type === line.type && integrationOf(first.line) === integrationOf(line);
      if (first && (!isNext || pending.length >= LINES_AT_ONCE)) await flush();
      pending.push({ number, line });
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      report.lines++;
      report.counts.FAILED++;
      problem(number, error.message);
    }
  }
  await flush();
  return report;
}

function integrationOf(line: Line): string | undefined {
  return 'integration' in line ? line.integration : undefined;
}

function resultOf(existing: object | null, record: { readonly id: string }): ImportResult {
  return { status: !existing ? 'CREATED' : isUnchanged(record) ? 'UNCHANGED' : 'UPDATED', id: record.id, error: null };
}

/** Says what is wrong with a line: each broken rule with its path in the line. */
function sentenceAbout(error: GatewayError): string {
  const issues: readonly Issue[] = issuesOf(error, []);
  if (issues.length === 0) return `was not imported: ${error.message}`;
  return `was not imported: ${issues.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message)).join('; ')}`;
}

/** Says that a new record lacks credentials. */
function importedWithout(missing: number): string {
  return `was imported without ${missing} of its credentials, which do not exist: their lines were not imported`;
}

/** Says that an existing record keeps what would lack credentials. */
function keptBecause(missing: number, members: readonly string[]): string {
  return `was imported, but what exists keeps its ${members.join(' and ')}: ${missing} of the credentials in the line do not exist`;
}

function referencesOfScheme({ oauth2 }: Readonly<Record<string, unknown>>): string[] {
  return credentialsNamedBy(typeof oauth2 === 'object' && oauth2 !== null ? oauth2 : {});
}

function referencesIn(entries: LineOf<'connection'>[List]): string[] {
  return (entries ?? []).flatMap(({ credential, authScheme }) => [credential, ...(authScheme ? referencesOfScheme(authScheme) : [])]);
}

/** Returns the scheme with ids in the place of references. Those that stand for nothing are null. */
function replaceReferences(
  scheme: Readonly<Record<string, unknown>>,
  known: ReadonlyMap<string, { readonly id: string }>,
): AuthSchemeInput {
  if (referencesOfScheme(scheme).length === 0) return scheme as unknown as AuthSchemeInput;
  const settings = scheme.oauth2 as Readonly<Record<string, unknown>>;
  const replaced = credentialSettings.flatMap((member) =>
    typeof settings[member] === 'string' ? [[member, known.get(settings[member])?.id ?? null] as const] : [],
  );
  return { ...scheme, oauth2: { ...settings, ...Object.fromEntries(replaced) } } as unknown as AuthSchemeInput;
}

/** Creates end users, and updates those that exist, with the contacts whose email addresses are verified. */
async function importEndUsers(
  context: MutationContext,
  integrationName: string,
  lines: readonly LineOf<'endUser'>[],
): Promise<ImportResult[]> {
  const { store } = context;
  return importInChunks(context, lines, async (chunk) => {
    const integrationId = (await requireIntegration(context, { name: integrationName }, ['integration'])).id;
    const found = await store.endUsers.evenAltered.all({ integrationId, externalId: chunk.map(({ externalId }) => externalId) });
    const existing = new Map(found.map((record) => [record.externalId, record]));
    const results: ImportResult[] = [];
    const created: EndUserRecord[] = [];
    const updated: string[] = [];
    const taken = new Set<string>();
    for (const [index, { type: _, integration: __, contacts: sent, ...line }] of chunk.entries()) {
      const verified = (sent ?? []).flatMap(({ type, emailVerified }) => (emailVerified ? [type as ContactType] : []));
      const contacts = (sent ?? []).map(({ emailVerified: _, ...contact }) => contact);
      try {
        const given = { ...line, contacts } as never;
        const before = existing.get(line.externalId);
        if (before?.isAltered) throw new AlteredRecordError('end user');
        if (taken.has(line.externalId)) throw sameAsEarlier('externalId');
        if (before) {
          const { externalId: _, ...changes } = { ...line, contacts };
          const { contacts: checked, ...rest } = checkChanges(endUserFields, changes as never);
          const kept = checked && withVerified(keepVerified(checked, before.contacts), verified);
          const record = await updateRecord(context, store.endUsers, before, { ...rest, ...(kept && { contacts: kept }) });
          if (!isUnchanged(record)) updated.push(record.id);
          results[index] = resultOf(before, record);
        } else {
          const checked = checkInput({ ...endUserIdentity, ...endUserFields }, given);
          const record = {
            ...newRecord(context),
            integrationId,
            ...checked,
            contacts: withVerified(keepVerified(checked.contacts, []), verified),
          };
          created.push(record);
          results[index] = { status: 'CREATED', id: record.id, error: null };
        }
        taken.add(line.externalId);
      } catch (error) {
        if (!isAboutItem(error)) throw error;
        results[index] = failed(error);
      }
    }
    if (created.length > 0) {
      await store.slots.attach(integrationId);
      await store.endUsers.insertAll(created);
    }
    await recordAllAlso(context, [
      { action: 'createEndUser', noun: 'endUser', ids: created.map(({ id }) => id), object: null },
      { action: 'updateEndUser', noun: 'endUser', ids: updated, object: null },
    ]);
    return { objectId: integrationId, results };
  });
}

/** Makes connections the primary ones of their end users, in one transaction. What was deleted or altered since they were imported is left out. */
async function importPrimaries(context: MutationContext, integrationId: string, connectionIds: readonly string[]): Promise<void> {
  const { store } = context;
  /** Returns the end users that have another primary connection, each with the new one. */
  async function changes(): Promise<(readonly [EndUserRecord, string])[]> {
    const connections = (await store.connections.evenAltered.byIds(connectionIds)).filter(({ isAltered }) => !isAltered);
    const owners = new Map(connections.flatMap(({ id, endUserId }) => (endUserId === null ? [] : [[endUserId, id] as const])));
    const endUsers = await store.endUsers.evenAltered.byIds([...owners.keys()]);
    return endUsers.flatMap((each) => {
      const id = owners.get(each.id)!;
      return each.isAltered || each.primaryConnectionId === id ? [] : [[each, id] as const];
    });
  }
  if (connectionIds.length === 0 || (await changes()).length === 0) return;
  await mutate(context, async () => {
    const updated: string[] = [];
    for (const [endUser, primaryConnectionId] of await changes()) {
      // So it cannot be deleted at the same time.
      if (!(await store.connections.touch(primaryConnectionId))) continue;
      await updateRecord(context, store.endUsers, endUser, { primaryConnectionId });
      updated.push(endUser.id);
    }
    await recordAllAlso(context, [{ action: 'updateEndUser', noun: 'endUser', ids: updated, object: null }]);
    return integrationId;
  });
}

/** The error of a line that stands for the same record as an earlier one. */
function sameAsEarlier(member: string): ValidationError {
  return new ValidationError([{ path: [member], message: 'must not be that of an earlier line' }]);
}

function withVerified(contacts: EndUserRecord['contacts'], verified: readonly ContactType[]): EndUserRecord['contacts'] {
  return contacts.map((contact) => ({
    ...contact,
    emailVerified: contact.email !== null && (contact.emailVerified || verified.includes(contact.type)),
  }));
}

interface OpenedCredential {
  readonly line: LineOf<'credential'>;
  readonly secrets: Readonly<Record<string, Redacted>>;
  /** Why a secret is missing: the file does not contain it, or there is no key to open it. */
  readonly lacks: 'file' | 'key' | undefined;
  readonly error: GatewayError | undefined;
}

/** A file with sealed secrets, and no key. */
export class SealedFileError extends GatewayError {
  constructor() {
    super(
      'UNREADABLE_SECRET',
      'The file contains sealed secrets, and nothing was imported. Give the private key with --key, or export without --with-secrets.',
    );
  }
}

/** A line contains a secret in clear, which was not exported by a gateway. */
class NotSealedError extends GatewayError {
  constructor() {
    super('UNREADABLE_SECRET', 'A secret in it is not sealed. Secrets in clear are not imported.');
  }
}

/** A new credential lacks a secret that the source has. */
class MissingSecretsError extends GatewayError {
  constructor(lacks: 'file' | 'key') {
    super(
      'UNREADABLE_SECRET',
      lacks === 'file' ? 'The file does not contain its secrets.' : 'Its secrets are sealed, and no key was given to open them.',
    );
  }
}

/** Creates credentials, and updates those that exist, see `existingCredentials`. */
async function importCredentials(
  context: MutationContext,
  integrationName: string,
  opened: readonly OpenedCredential[],
  replaceSecrets: boolean,
): Promise<ImportResult[]> {
  const { store, viewer } = context;
  const keyFiles = context.keyFiles();
  const own: MutationContext = { ...context, keyFiles: () => keyFiles };
  const items = await forEachItem(opened, async ({ line, secrets, lacks, error }) => {
    const { type: _, integration: __, reference, endUser, kind, settings, secrets: ___, expiresAt, byEndUser = [], ...fields } = line;
    const data = { [kind]: { ...settings, ...secrets } };
    const given = { ...fields, expiresAt: expiresAt == null ? null : new Date(expiresAt), data } as NewCredential;
    let prepared: PreparedCredential | undefined;
    let wrong: GatewayError | undefined = error;
    if (!wrong) {
      try {
        prepared = lacks ? undefined : await prepareCredential(own, given);
      } catch (cause) {
        if (!isAboutItem(cause)) throw cause;
        wrong = cause;
      }
    }
    return { reference, endUser: endUser ?? null, given, byEndUser, prepared, lacks, wrong };
  });
  return importInChunks(own, items, async (chunk) => {
    const integrationId = (await requireIntegration(own, { name: integrationName }, ['integration'])).id;
    const externalIds = [...new Set(chunk.flatMap(({ endUser }) => endUser ?? []))];
    const endUsers = externalIds.length === 0 ? [] : await store.endUsers.evenAltered.all({ integrationId, externalId: externalIds });
    const existing = await existingCredentials(
      own,
      integrationId,
      chunk.map(({ reference }) => reference),
    );
    const results: ImportResult[] = [];
    const created: { record: CredentialRecord; prepared: PreparedCredential; byEndUser: readonly string[] }[] = [];
    const updates: { index: number; record: CredentialRecord }[] = [];
    const taken = new Set<string>();
    for (const [index, { reference, endUser: externalId, byEndUser, prepared, lacks, wrong }] of chunk.entries()) {
      const record = existing.get(reference);
      const id = record?.id ?? derivedId(viewer.organizationId, integrationId, reference);
      const endUser = externalId === null ? null : endUsers.find((each) => each.externalId === externalId);
      if (wrong) results[index] = failed(wrong);
      else if (endUser === undefined) results[index] = failed(new NotFoundError('end user', ['endUser']));
      else if (endUser?.isAltered) results[index] = failed(new AlteredRecordError('end user'));
      else if (record?.isAltered) results[index] = failed(new AlteredRecordError('credential'));
      else if (record && record.endUserId !== (endUser?.id ?? null)) {
        results[index] = failed(new ValidationError([{ path: ['endUser'], message: 'must be the end user of the existing credential' }]));
      } else if (taken.has(id)) results[index] = failed(sameAsEarlier('reference'));
      else if (record) updates.push({ index, record });
      else if (lacks || !prepared) results[index] = failed(new MissingSecretsError(lacks ?? 'file'));
      else {
        const owner = { integrationId, endUserId: endUser?.id ?? null };
        created.push({ record: { ...unsealedCredential(own, owner, prepared), id }, prepared, byEndUser });
        results[index] = { status: 'CREATED', id, error: null };
      }
      if (!results[index]?.error) taken.add(id);
    }
    if (created.length > 0) {
      await store.slots.attach(integrationId);
      await store.endUsers.touchAll([...new Set(created.flatMap(({ record }) => record.endUserId ?? []))]);
      await insertCredentials(own, created);
    }
    const updated: string[] = [];
    for (const { index, record } of updates) {
      const { given, byEndUser, lacks } = chunk[index]!;
      try {
        const merged = await mergeCredential(own, record, given, replaceSecrets && !lacks, byEndUser);
        if (!isUnchanged(merged)) updated.push(record.id);
        results[index] = resultOf(record, merged);
      } catch (error) {
        if (!isAboutItem(error)) throw error;
        throw new ItemError(error);
      }
    }
    const done: (AlsoDone & { readonly object: null })[] = [
      { action: 'createCredential', noun: 'credential', ids: created.map(({ record }) => record.id), object: null },
      { action: 'updateCredential', noun: 'credential', ids: updated, object: null },
    ];
    await recordAllAlso(own, done);
    return { objectId: integrationId, results };
  });
}
