import { type CredentialKind, GENERATE } from '../credential-kinds/define.ts';
import {
  checkForm,
  type KindData,
  type PreparedWrite,
  prepareWrite,
  readsKeyFiles,
  withGeneratedSecret,
} from '../credential-kinds/validate.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, flag, type InputOf, instant, text, type ValuesOf } from '../fields/field.ts';
import type { KeyFiles } from '../key-files/index.ts';
import type { Redacted } from '../redacted.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { BaseRecord, Filter } from '../store/records.ts';
import { hiddenSecrets, shownSecrets } from '../store/token.ts';
import { forgetCredential } from './binding.ts';
import type { DomainContext } from './context.ts';
import { useFields } from './credential-use.ts';
import { type Forceable, recordCascades, refuseIfInUse, usesOfCredential } from './deletion.ts';
import { descriptionField, type FieldsIn, nameText } from './fields.ts';
import { credentialHealth, problemMessages } from './health.ts';
import { beforeChanges, type MutationContext, mutate } from './mutate.ts';
import { shown } from './reading.ts';
import { type EvenAltered, expectVersion, hasAlready, newRecord, readsOf, required, type Target, updateRecord } from './records.ts';
import { type EndUserRef, type IntegrationRef, requireEndUser, requireIntegration, requireOwner } from './references.ts';
import { checkRevealReason } from './reveal-reason.ts';
import { prepareRevocation, type ServiceRevocation } from './service-revocation.ts';
import { at, Checks, refusePast } from './validation.ts';

/** The fields of credentials of all kinds that callers write. */
export const credentialFields = {
  name: text({ ...nameText, description: 'The name. Need not be unique.' }),
  description: descriptionField,
  enabled: flag({ optional: true, default: true, clearable: false, description: 'Whether it may be used.' }),
  expiresAt: instant({
    optional: true,
    description: 'The credential is deleted at this time. Null if never.',
  }),
  ...useFields,
} satisfies FieldsIn<CredentialRecord>;
/** The further fields of a new credential that callers write. */
export const newCredentialFields = {
  ...credentialFields,
  pending: flag({
    optional: true,
    default: false,
    clearable: false,
    description:
      'Whether required secrets may be absent, because they are still to come. The credential is then in the state NEEDS_ATTENTION with the problem SECRET_MISSING, and cannot be used until an update has set them.',
  }),
};
/** The input fields of a reveal. */
export const revealFields = {
  field: text({ description: 'The name of the secret field, such as `password`.', minLength: 0, maxLength: 255, format: 'any' }),
  reason: text({
    description:
      'The reason, for the audit log. It must have ten characters, not counting spaces at its ends, or, if the operator of the gateway has set a pattern, match that.',
    maxLength: 500,
    format: 'any',
  }),
};

/** The data of one kind: exactly one member, named after the kind. Secrets are wrapped. */
export type CredentialData = Readonly<Record<string, KindData | null | undefined>>;

/** A credential to create, alone or together with a connection. */
export type NewCredential = InputOf<typeof newCredentialFields> & { readonly data: CredentialData };
export type CredentialInput = NewCredential & { readonly integration: IntegrationRef; readonly endUser?: EndUserRef | null };
export type CredentialChanges = Target<'credential', string> &
  ChangesOf<typeof credentialFields> & { readonly data?: CredentialData | null };

/** Data of a kind, with the secret that the server generated, if they ask for one. Their fields are checked when they are written. */
interface PreparedData {
  readonly kind: CredentialKind;
  readonly data: KindData;
  readonly keyFiles: KeyFiles;
}

/** A new credential whose fields are checked. */
export interface PreparedCredential {
  readonly common: ValuesOf<typeof credentialFields>;
  readonly kind: CredentialKind;
  readonly write: PreparedWrite;
}

/** Finds a credential. Credentials of a kind that this gateway does not know stay stored but are not found. */
export async function findCredential(context: DomainContext, id: string, altered?: EvenAltered): Promise<CredentialRecord | null> {
  const found = await readsOf(context.store.credentials, altered).one({ id });
  return shown(context, 'credential', found ? [found] : [])[0] ?? null;
}

/** @throws ValidationError, InvalidIntegrationError, NotFoundError */
export async function createCredential(context: MutationContext, input: CredentialInput): Promise<CredentialRecord> {
  const { integration: integrationRef, endUser: endUserRef, ...credential } = input;
  const checks = new Checks(context);
  const prepared = await checks.run(() => prepareCredential(context, credential));
  const change = async () => {
    const integration = await requireIntegration(context, integrationRef, ['integration']);
    const endUser = await requireOwner(context, endUserRef, integration, ['endUser']);
    await context.store.slots.attach(integration.id);
    if (endUser) await context.store.endUsers.touch(endUser.id);
    return insertCredential(context, { integrationId: integration.id, endUserId: endUser?.id ?? null }, prepared!);
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const integration = await checks.run(() => requireIntegration(context, integrationRef, ['integration']));
        if (integration) await checks.run(() => requireOwner(context, endUserRef, integration, ['endUser']));
        else if (endUserRef) await checks.run(() => requireEndUser(context, endUserRef, ['endUser']));
      },
    ],
  );
}

/**
 * Checks a new credential, and generates its secret if requested. This happens before the transaction, because reading and generating keys
 * takes time and a transaction can run several times.
 *
 * @throws ValidationError
 */
export async function prepareCredential(context: DomainContext, { data, ...given }: NewCredential): Promise<PreparedCredential> {
  const checks = new Checks();
  const checked = await checks.run(() => checkInput(newCredentialFields, given));
  await checks.run(() => refusePast(given.expiresAt, context.now()));
  const prepared = await checks.run(() => prepareData(context, data));
  const isPending = given.pending === true;
  if (isPending && prepared?.kind.storedAs) {
    // Without its secrets, nothing would be left of it.
    checks.refuse(
      new ValidationError([{ path: ['pending'], message: `must not be true with ${prepared.kind.kind}, which is for input only` }]),
    );
  }
  const written = ({ kind, data, keyFiles }: PreparedData) =>
    at(['data', kind.kind], () => prepareWrite(kind, data, keyFiles, undefined, isPending));
  const write = prepared && (await checks.run(() => written(prepared)));
  checks.end();
  const { pending: _, ...common } = checked!;
  return { common, kind: prepared!.kind, write: write! };
}

/** Generates the secret that the data ask for. @throws ValidationError when the data have no kind, or several */
async function prepareData(context: DomainContext, data: CredentialData): Promise<PreparedData> {
  const [kind, given] = pickKind(context, data);
  const keyFiles = context.keyFiles();
  return { kind, data: await withGeneratedSecret(kind, given, keyFiles), keyFiles };
}

/** Creates a credential within a transaction in which the caller has written its owners. */
export async function insertCredential(
  context: DomainContext,
  owner: Pick<CredentialRecord, 'integrationId' | 'endUserId'>,
  prepared: PreparedCredential,
): Promise<CredentialRecord> {
  const { store } = context;
  const record = unsealedCredential(context, owner, prepared);
  return store.credentials.insert({ ...record, secrets: await store.secrets.put(record, prepared.write.secrets, record.createdAt) });
}

/** Returns the record of a new credential, still without its secrets. */
export function unsealedCredential(
  context: DomainContext,
  { integrationId, endUserId }: Pick<CredentialRecord, 'integrationId' | 'endUserId'>,
  { common, kind, write: { settings, facts, pending } }: PreparedCredential,
): CredentialRecord {
  const stored = { kind: kind.storedAs ?? kind.kind, settings, facts, secrets: {}, ...(pending.length > 0 && { pendingSecrets: pending }) };
  return { ...newRecord(context), integrationId, endUserId, ...common, ...stored };
}

/**
 * Writes credentials of `unsealedCredential` and their secrets, with one command for each collection, in a transaction in which the caller has
 * written their owners.
 */
export async function insertCredentials(
  { store }: DomainContext,
  all: readonly { readonly record: CredentialRecord; readonly prepared: PreparedCredential; readonly byEndUser?: readonly string[] }[],
): Promise<void> {
  const [first] = all;
  if (!first) return;
  const secrets = all.map(({ record, prepared, byEndUser = [] }) => ({ owner: record, secrets: prepared.write.secrets, byEndUser }));
  const facts = await store.secrets.putAll(secrets, first.record.createdAt);
  await store.credentials.insertAll(all.map(({ record }, index) => ({ ...record, secrets: facts[index]! })));
}

/** Returns whether a credential is of the kind of a new one, however that is given. */
export function isSameKind(record: CredentialRecord, { kind }: PreparedCredential): boolean {
  return isOfKind(record, kind);
}

/** What will be written to a credential. Several merges of one credential are one write. */
export interface CredentialMerge {
  readonly stored: CredentialRecord;
  /** The values that it gets, except its secrets. */
  readonly changes: Partial<Omit<CredentialRecord, keyof BaseRecord | 'secrets'>>;
  /** The secrets that it gets. */
  readonly secrets: PreparedWrite['secrets'];
  /** The names of the secrets among these that an end user has written elsewhere. */
  readonly byEndUser: readonly string[];
  /** The names of the secrets that it loses. */
  readonly unset: readonly string[];
  /** Whether the last merge changes nothing. */
  readonly isSame: boolean;
}

/** Returns a merge that changes nothing, to begin with. */
export function noMerge(stored: CredentialRecord): CredentialMerge {
  return { stored, changes: {}, secrets: {}, byEndUser: [], unset: [], isSame: true };
}

/** Returns a credential as it will be, except for what is known about its secrets. */
export function asMerged({ stored, changes }: CredentialMerge): CredentialRecord {
  return { ...stored, ...changes };
}

/**
 * Gives a credential the values of a new one, in the caller's transaction. Absent fields are kept, and null clears a field. The secrets are only written with
 * `replaceSecrets`, and then always: whether something was written must not tell if a guess is right. `byEndUser` names those that an end user has
 * written elsewhere.
 *
 * @throws ValidationError, ConflictError, AlteredRecordError
 */
export async function mergeCredential(
  context: DomainContext,
  record: CredentialRecord,
  given: NewCredential,
  replaceSecrets: boolean,
  byEndUser: readonly string[] = [],
): Promise<CredentialRecord> {
  const merge = await planMerge(context, noMerge(record), given, replaceSecrets);
  return (await saveMerges(context, [{ ...merge, byEndUser }]))[0]!;
}

/** Does the same as `mergeCredential`, on top of what will be written already, but writes nothing. @throws ValidationError */
export async function planMerge(
  context: DomainContext,
  before: CredentialMerge,
  { data, ...given }: NewCredential,
  replaceSecrets: boolean,
): Promise<CredentialMerge> {
  // It is a matter of new credentials only.
  const { enabled, pending: _, ...others } = given;
  // It cannot be cleared: null means the default, of a new credential.
  const common = checkChanges(credentialFields, { ...others, ...(enabled != null && { enabled }) });
  const [kind, values] = pickKind(context, data);
  // A key pair is generated once.
  const record = asMerged(before);
  // A secret that is still to come is not replaced.
  const isAwaited = (name: string) => record.pendingSecrets?.includes(name) === true;
  const isKept = (name: string) => name !== GENERATE && (replaceSecrets || !kind.fields[name]?.secret || isAwaited(name));
  const kept = Object.fromEntries(Object.entries(values).filter(([name]) => isKept(name)));
  // The data of a kind that is for input only are complete, with their secrets, or they are none.
  const isWritten = replaceSecrets || !kind.storedAs;
  if (!isWritten) return { ...before, changes: { ...before.changes, ...common }, isSame: hasAlready(record, common) };
  const set = Object.keys({ ...keptSecrets(before.stored, before.unset), ...before.secrets });
  const prepared = await prepareData(context, { [kind.kind]: kept });
  const { settings, facts, secrets, unset, pending } = await prepareUpdate(record, prepared, set);
  const changes = { ...common, settings, facts, ...pendingAfter(record, pending) };
  const isSame = hasAlready(record, changes) && Object.keys(secrets).length === 0 && !unset.some((name) => set.includes(name));
  return {
    stored: before.stored,
    changes: { ...before.changes, ...changes },
    secrets: Object.fromEntries(Object.entries({ ...before.secrets, ...secrets }).filter(([name]) => !unset.includes(name))),
    byEndUser: before.byEndUser,
    unset: [...new Set([...before.unset, ...unset])],
    isSame,
  };
}

/**
 * Writes merges of different credentials in the caller's transaction, with one command for all of their new secrets. Returns the credentials in the same
 * order. @throws ConflictError, AlteredRecordError
 */
export async function saveMerges(context: DomainContext, merges: readonly CredentialMerge[]): Promise<CredentialRecord[]> {
  const { store } = context;
  const updatedAt = context.now();
  for (const { stored, secrets, unset } of merges) {
    await store.secrets.unset(stored.id, [...unset, ...Object.keys(secrets), ...hiddenSecrets(stored.secrets)]);
  }
  const withSecrets = merges.filter(({ secrets }) => Object.keys(secrets).length > 0);
  const puts = withSecrets.map(({ stored, secrets, byEndUser }) => ({ owner: stored, secrets, byEndUser }));
  const facts = puts.length === 0 ? [] : await store.secrets.putAll(puts, updatedAt);
  const records: CredentialRecord[] = [];
  for (const merge of merges) {
    const { stored, changes, unset } = merge;
    // Tokens that were made from the old values are not used any more.
    const secrets = { ...keptSecrets(stored, [...unset, ...hiddenSecrets(stored.secrets)]), ...facts[withSecrets.indexOf(merge)] };
    records.push(await updateRecord(context, store.credentials, stored, { ...changes, secrets, token: null }, updatedAt));
  }
  return records;
}

/** Changes the given fields. Of the kind's fields, absent ones are kept and null clears a field. @throws ValidationError, NotFoundError, ConflictError */
export async function updateCredential(context: MutationContext, input: CredentialChanges): Promise<CredentialRecord> {
  const { credential: id, expectedVersion, data, ...changes } = input;
  const checks = new Checks(context);
  const common = await checks.run(() => checkChanges(credentialFields, changes));
  await checks.run(() => refusePast(changes.expiresAt, context.now()));
  const prepared = data ? await checks.run(() => prepareData(context, data)) : undefined;
  if (prepared) await readKeyFiles(context, id, prepared);
  const change = async () => {
    const record = required(await findCredential(context, id), new NotFoundError('credential', ['credential']));
    expectVersion(record, expectedVersion);
    const updatedAt = context.now();
    const written = { ...common, ...(prepared && (await writeData(context, record, prepared, updatedAt))) };
    return updateRecord(context, context.store.credentials, record, written, updatedAt);
  };
  return checks.thenMake(
    () => mutate(context, change),
    [
      async () => {
        const missing = new NotFoundError('credential', ['credential']);
        const record = await checks.run(async () => required(await findCredential(context, id), missing));
        if (prepared && record) await prepareUpdate(record, prepared);
        else if (prepared) await at(['data', prepared.kind.kind], () => checkForm(prepared.kind, prepared.data));
      },
    ],
  );
}

/**
 * Reads the key files that an update will ask for, so that its transaction need not wait for them. Which ones that are depends on what is
 * stored. If that changes until the transaction runs, the transaction reads them.
 */
async function readKeyFiles(context: DomainContext, id: string, prepared: PreparedData): Promise<void> {
  if (!readsKeyFiles(prepared.kind)) return;
  const record = await findCredential(context, id);
  if (!record || !isOfKind(record, prepared.kind)) return;
  try {
    await prepareUpdate(record, prepared);
  } catch (error) {
    // The transaction will find the same, after what else is wrong.
    if (!(error instanceof ValidationError)) throw error;
  }
}

/** @throws ValidationError */
function prepareUpdate(
  record: CredentialRecord,
  { kind, data, keyFiles }: PreparedData,
  set: readonly string[] = Object.keys(record.secrets),
): Promise<PreparedWrite> {
  if (!isOfKind(record, kind)) {
    throw new ValidationError([{ path: ['data', kind.kind], message: 'is not the kind of the credential, which cannot be changed' }]);
  }
  const isSet = Object.fromEntries(set.map((field) => [field, true]));
  const stored = { settings: record.settings, facts: record.facts, isSet, pending: record.pendingSecrets ?? [] };
  return at(['data', kind.kind], () => prepareWrite(kind, data, keyFiles, stored));
}

function isOfKind(record: CredentialRecord, kind: CredentialKind): boolean {
  return (kind.storedAs ?? kind.kind) === record.kind;
}

async function writeData({ store }: DomainContext, record: CredentialRecord, prepared: PreparedData, updatedAt: Date) {
  const { settings, facts, secrets, unset, pending } = await prepareUpdate(record, prepared);
  // Tokens that were made from the old values are not used any more. After a failure, the new values are tried again.
  const dropped = [...unset, ...hiddenSecrets(record.secrets)];
  await store.secrets.unset(record.id, [...dropped, ...Object.keys(secrets)]);
  const put = await store.secrets.put(record, secrets, updatedAt);
  return { settings, facts, secrets: { ...keptSecrets(record, dropped), ...put }, token: null, ...pendingAfter(record, pending) };
}

/** Returns what is written about the secrets that are still to come: nothing, if there were none and are none. */
function pendingAfter({ pendingSecrets }: CredentialRecord, pending: readonly string[]): Pick<CredentialRecord, 'pendingSecrets'> {
  return pendingSecrets || pending.length > 0 ? { pendingSecrets: pending } : {};
}

function keptSecrets({ secrets }: CredentialRecord, unset: readonly string[]): CredentialRecord['secrets'] {
  return Object.fromEntries(Object.entries(secrets).filter(([name]) => !unset.includes(name)));
}

/** A deletion of a credential, and whether its tokens are also revoked at the service. */
export type CredentialDeletion = Target<'credential', string> & Forceable & { readonly revoke?: boolean | null };

/** What a deletion of a credential has done. */
export interface DeletedCredential {
  readonly id: string;
  /** Null if the revocation was not asked for. */
  readonly revocation: ServiceRevocation | null;
}

/**
 * Deletes a credential; with `force`, also removes it from the connections and connectors that use it; with `revoke`, its tokens are revoked at the service
 * (RFC 7009) after the deletion is committed. A deletion that is refused revokes nothing, and a failed revocation does not undo the deletion.
 *
 * @throws NotFoundError, ConflictError, InUseError, ForbiddenError
 */
export async function deleteCredential(
  context: MutationContext,
  { credential: id, expectedVersion, force, revoke, ...rest }: CredentialDeletion,
): Promise<DeletedCredential> {
  refuseUnknown(rest);
  const { store } = context;
  const find = () => findCredential(context, id, 'evenAltered');
  const remove = async () => {
    const record = required(await find(), new NotFoundError('credential', ['credential']));
    expectVersion(record, expectedVersion);
    // A transaction that attaches it writes it too. If both run at once, one of them is repeated.
    await store.credentials.touch(id);
    if (!force) await refuseIfInUse(context, 'credential', usesOfCredential(id));
    await forgetCredential(context, id, ({ connections, connectors }) =>
      recordCascades(context, { noun: 'credential', id }, [
        { noun: 'connection', verb: 'patch', ids: connections },
        { noun: 'connector', verb: 'patch', ids: connectors },
      ]),
    );
    await removeCredentials(context, { id });
    return record;
  };
  if (!revoke || !(await beforeChanges(find))) {
    await mutate(context, remove);
    return { id, revocation: null };
  }
  return context.tokens.withoutRefresh(context, id, async (isAlone) => {
    // The secrets can be opened only before. That takes time, and a transaction can run several times.
    const before = await beforeChanges(find);
    const prepared = before && (await beforeChanges(() => prepareRevocation(context, before)));
    const removed = await mutate(context, remove, 'revoked at the service');
    const outcome = prepared ? await prepared.send() : 'FAILED';
    // Others than those that were sent may be valid.
    const isOther = !isAlone || !prepared?.isOf(removed);
    return { id, revocation: outcome === 'REVOKED' && isOther ? 'FAILED' : outcome };
  });
}

/** Deletes credentials and their secrets, in a transaction in which the caller has handled their uses. */
export async function removeCredentials({ store }: DomainContext, filter: Filter<CredentialRecord>): Promise<void> {
  await store.secrets.removeAll(await store.credentials.ids(filter));
  await store.credentials.remove(filter);
}

/**
 * Returns the plaintext of one secret.
 * @throws ValidationError when the reason is missing or does not say enough, or the kind has no such secret
 * @throws NotFoundError when the credential does not exist or the secret is not set
 * @throws UnreadableSecretError when it cannot be opened
 */
export async function revealSecret(
  context: MutationContext,
  { credential: credentialId, ...given }: { readonly credential: string } & InputOf<typeof revealFields>,
): Promise<{ credential: CredentialRecord; field: string; plain: Redacted }> {
  const { store, kinds, policy } = context;
  const checks = new Checks(context);
  const valid = await checks.run(() => checkInput(revealFields, given));
  // A reason that is too long or not text was refused already.
  if (typeof given.reason === 'string' && given.reason.length <= revealFields.reason.maxLength) {
    await checks.run(() => checkRevealReason(given.reason, policy.revealReasonPattern));
  }
  // The entry in the audit log is committed before anything is opened.
  const check = async () => {
    const field = typeof given.field === 'string' ? given.field : '';
    const credential = required(await findCredential(context, credentialId), new NotFoundError('credential', ['credential']));
    if (!kinds.of(credential).fields[field]?.secret) {
      throw new ValidationError([{ path: ['field'], message: 'is not a secret field of this credential kind' }]);
    }
    if (!credential.secrets[field]) throw new NotFoundError('secret', ['field']);
    return credential;
  };
  const reveal = async () => {
    const found = await check();
    await store.credentials.tell('SECRET_REVEALED', [found]);
    return found;
  };
  const credential = await checks.thenMake(() => mutate(context, reveal, `${valid!.field}: ${valid!.reason}`), [check]);
  const { field } = valid!;
  return { credential, field, plain: await store.secrets.open(credential, field) };
}

/**
 * Returns the problems of each credential as texts, and the secrets that cannot be opened, by opening them. Empty if it was found to work; null if that is
 * not known. What is found is noted, so that the state of the credential follows.
 */
export async function credentialErrors(
  { store, findings, now }: DomainContext,
  credentials: readonly CredentialRecord[],
): Promise<(readonly string[] | null)[]> {
  const withSecrets = credentials.filter(({ secrets }) => Object.keys(secrets).length > 0);
  const readable = withSecrets.length > 0 ? await store.secrets.readableFields(withSecrets) : new Map<string, Set<string>>();
  return credentials.map((credential) => {
    const { id, organizationId, secrets, isAltered } = credential;
    const { problems, checkedAt } = credentialHealth(credential, now());
    const unreadable = isAltered ? [] : shownSecrets(secrets).filter((field) => !readable.get(id)?.has(field));
    const wasUnreadable = problems.some(({ code }) => code === 'SECRET_UNREADABLE');
    if (unreadable.length > 0 && !wasUnreadable) findings.noteUnreadable({ organizationId, credentialId: id }, now());
    if (unreadable.length === 0 && wasUnreadable) findings.noteReadable({ organizationId, id }, now());
    const errors = problems.filter(({ code }) => code !== 'SECRET_UNREADABLE').map(({ code }) => problemMessages[code]);
    errors.push(...unreadable.map((field) => `The secret ${field} cannot be opened.`));
    return errors.length === 0 && checkedAt === null ? null : errors;
  });
}

/** Returns the kind of the data. @throws ValidationError when the data have no kind, or several */
function pickKind({ kinds }: DomainContext, data: CredentialData): [CredentialKind, KindData] {
  const given = Object.entries(data).filter(([, value]) => value !== null && value !== undefined);
  const [[name, value] = []] = given;
  const kind = name === undefined ? undefined : kinds.find(name);
  if (given.length !== 1 || !kind || !value)
    throw new ValidationError([{ path: ['data'], message: 'must have exactly one member, named after the kind' }]);
  return [kind, value];
}
