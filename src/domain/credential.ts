import { z } from 'zod';
import type { CredentialKind } from '../credential-kinds/define.ts';
import { kindOf } from '../credential-kinds/index.ts';
import { makeSecret, prepareWrite } from '../credential-kinds/validate.ts';
import { NotFoundError, type Path, ValidationError } from '../errors.ts';
import type { Redacted } from '../redacted.ts';
import type { CredentialRecord } from '../store/credential.ts';
import type { Filter } from '../store/records.ts';
import { forgetCredential } from './binding.ts';
import type { DomainContext } from './context.ts';
import { type DeletionOptions, refuseIfInUse } from './deletion.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, required, updateRecord } from './records.ts';
import { type EndUserRef, type IntegrationRef, requireIntegration, requireOwner } from './references.ts';
import { anyText, check, descriptionText, nameText, refusePast } from './validation.ts';

const fields = z.object({ name: nameText, description: descriptionText, enabled: z.boolean(), expiresAt: z.date().nullable() });
const reasonText = anyText.min(1).max(500);

/** The data of one kind: exactly one member, named by the kind. */
export type CredentialData = Readonly<Record<string, Record<string, unknown>>>;

/** A credential to be made, wherever it is made: by itself or together with a connection. */
export interface NewCredential {
  readonly name: string;
  readonly description?: string | null;
  readonly enabled?: boolean | null;
  readonly expiresAt?: Date | null;
  readonly data: CredentialData;
}
export interface CredentialInput extends NewCredential {
  readonly integration: IntegrationRef;
  readonly endUser?: EndUserRef | null;
}
export type CredentialChanges = Partial<NewCredential>;

/** The plaintexts that the server was asked to make, by the data that ask for them. */
export type MadeSecrets = ReadonlyMap<CredentialData, string>;

export function findCredential({ store }: DomainContext, id: string): Promise<CredentialRecord | null> {
  return store.credentials.one({ id });
}

/** @throws ValidationError, InvalidIntegrationError, NotFoundError */
export async function createCredential(context: MutationContext, input: CredentialInput): Promise<CredentialRecord> {
  const { integration: integrationRef, endUser: endUserRef, ...credential } = input;
  const made = await makeSecrets([input.data]);
  return mutate(context, async () => {
    const integration = await requireIntegration(context, integrationRef, ['input', 'integration']);
    const endUser = await requireOwner(context, endUserRef, integration, ['input', 'endUser']);
    await context.store.slots.attach(integration.id);
    if (endUser) await context.store.endUsers.touch(endUser.id);
    return insertCredential(context, { integrationId: integration.id, endUserId: endUser?.id ?? null }, credential, made, ['input']);
  });
}

/** Makes the secrets that the server is asked to make: before the transaction, which would wait for them, and may run more than once. */
export async function makeSecrets(asking: readonly CredentialData[]): Promise<MadeSecrets> {
  const made = new Map<CredentialData, string>();
  for (const data of asking) {
    for (const [name, fieldsOfKind] of Object.entries(data)) {
      const kind = kindOf(name);
      const plain = kind && fieldsOfKind && (await makeSecret(kind, fieldsOfKind));
      if (plain) made.set(data, plain);
    }
  }
  return made;
}

/** Makes a credential within a transaction whose caller holds its owners. @throws ValidationError */
export async function insertCredential(
  context: DomainContext,
  { integrationId, endUserId }: Pick<CredentialRecord, 'integrationId' | 'endUserId'>,
  input: NewCredential,
  made: MadeSecrets,
  path: Path,
): Promise<CredentialRecord> {
  const { store } = context;
  const { data, ...rest } = input;
  const common = check(fields, { description: null, expiresAt: null, ...rest, enabled: rest.enabled ?? true }, path);
  refusePast(common.expiresAt, context.now(), path);
  const [kind, fieldsOfKind] = pickKind(data, [...path, 'data']);
  const { settings, facts, secrets } = within([...path, 'data', kind.kind], () =>
    prepareWrite(kind, fieldsOfKind, undefined, made.get(data)),
  );
  const base = newRecord(context);
  const secretFacts = await store.secrets.put(base.id, secrets, base.createdAt);
  return store.credentials.insert({
    ...base,
    integrationId,
    endUserId,
    ...common,
    kind: kind.storedAs ?? kind.kind,
    errors: null,
    settings,
    facts,
    secrets: secretFacts,
  });
}

/** Changes what is given, field by field; of the kind's fields, absent is kept and null is cleared. @throws ValidationError, NotFoundError, ConflictError */
export async function updateCredential(
  context: MutationContext,
  id: string,
  changes: CredentialChanges,
  expectedVersion?: number | null,
): Promise<CredentialRecord> {
  const { data, ...rest } = changes;
  const common = check(fields.partial(), rest, ['input']);
  refusePast(common.expiresAt, context.now(), ['input']);
  const made = await makeSecrets(data ? [data] : []);
  return mutate(context, async () => {
    const record = required(await findCredential(context, id), new NotFoundError('credential', ['id']));
    expectVersion(record, expectedVersion);
    const updatedAt = context.now();
    const written = { ...common, ...(data && (await writeData(context, record, data, made, updatedAt))) };
    return updateRecord(context, context.store.credentials, record, written, updatedAt);
  });
}

async function writeData({ store }: DomainContext, record: CredentialRecord, data: CredentialData, made: MadeSecrets, updatedAt: Date) {
  const [kind, fieldsOfKind] = pickKind(data, ['input', 'data']);
  if ((kind.storedAs ?? kind.kind) !== record.kind) {
    throw new ValidationError([{ path: ['input', 'data', kind.kind], message: 'is not the credential’s kind, which cannot be changed' }]);
  }
  const isSet = Object.fromEntries(Object.keys(record.secrets).map((field) => [field, true]));
  const stored = { settings: record.settings, facts: record.facts, isSet };
  const { settings, facts, secrets, unset } = within(['input', 'data', kind.kind], () =>
    prepareWrite(kind, fieldsOfKind, stored, made.get(data)),
  );
  const kept = Object.entries(record.secrets).filter(([field]) => !unset.includes(field));
  await store.secrets.unset(record.id, [...unset, ...Object.keys(secrets)]);
  const put = await store.secrets.put(record.id, secrets, updatedAt);
  return { settings, facts, secrets: { ...Object.fromEntries(kept), ...put } };
}

/** Deletes a credential, with `force` also out of the connections and connectors that name it. @throws NotFoundError, ConflictError, InUseError */
export async function deleteCredential(context: MutationContext, id: string, options: DeletionOptions): Promise<string> {
  const { store } = context;
  return mutate(context, async () => {
    const record = required(await findCredential(context, id), new NotFoundError('credential', ['id']));
    expectVersion(record, options.expectedVersion);
    // Who attaches it writes it too: after this, one of the two transactions runs again.
    await store.credentials.touch(id);
    const users = { credentialIds: id };
    if (!options.force) await refuseIfInUse(context, 'credential', { connectors: users, connections: users });
    await forgetCredential(context, id);
    await removeCredentials(context, { id });
    return id;
  });
}

/** Deletes credentials with their secrets, in a transaction whose caller has seen to those that use them. */
export async function removeCredentials({ store }: DomainContext, filter: Filter<CredentialRecord>): Promise<void> {
  await store.secrets.removeAll(await store.credentials.ids(filter));
  await store.credentials.remove(filter);
}

/**
 * The plaintext of one secret.
 * @throws ValidationError when the reason is missing or the kind has no such secret
 * @throws NotFoundError when the credential does not exist or the secret is not set
 * @throws UnreadableSecretError when it cannot be opened
 */
export async function revealSecret(
  context: MutationContext,
  { credentialId, field, reason }: { readonly credentialId: string; readonly field: string; readonly reason: string },
): Promise<{ credential: CredentialRecord; field: string; plain: Redacted }> {
  const { store } = context;
  check(reasonText, reason, ['reason']);
  // The entry in the audit log is committed before anything is opened.
  const checkAndRecord = async () => {
    const credential = required(await findCredential(context, credentialId), new NotFoundError('credential', ['credentialId']));
    if (!kindOf(credential.kind)?.fields[field]?.secret) {
      throw new ValidationError([{ path: ['field'], message: 'is not a secret of this kind of credential' }]);
    }
    if (!credential.secrets[field]) throw new NotFoundError('secret', ['field']);
    return credential;
  };
  const credential = await mutate(context, checkAndRecord, `${field}: ${reason}`);
  return { credential, field, plain: await store.secrets.open(credentialId, field) };
}

/** What is known to be wrong with each credential: what its last check found, and the secrets that cannot be opened. Null: nothing is known. */
export async function credentialProblems(
  { store }: DomainContext,
  credentials: readonly CredentialRecord[],
): Promise<(readonly string[] | null)[]> {
  const withSecrets = credentials.filter(({ secrets }) => Object.keys(secrets).length > 0);
  const ids = withSecrets.map(({ id }) => id);
  const readable = ids.length > 0 ? await store.secrets.readableFields(ids) : new Map<string, Set<string>>();
  return credentials.map(({ id, secrets, errors = null }) => {
    const unreadable = Object.keys(secrets).filter((field) => !readable.get(id)?.has(field));
    return unreadable.length === 0 ? errors : [...(errors ?? []), ...unreadable.map((field) => `The secret ${field} cannot be opened.`)];
  });
}

/** The kind that the data are of. @throws ValidationError when they name none, or several */
function pickKind(data: CredentialData, path: Path): [CredentialKind, Record<string, unknown>] {
  const given = Object.entries(data).filter(([, value]) => value !== null && value !== undefined);
  const [[name, value] = []] = given;
  const kind = name === undefined ? undefined : kindOf(name);
  if (given.length !== 1 || !kind || !value)
    throw new ValidationError([{ path, message: 'must have exactly one member, named by the kind' }]);
  return [kind, value];
}

/** Runs a check whose paths are relative, and makes them begin with `path`. */
function within<T>(path: Path, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new ValidationError(error.issues.map((issue) => ({ ...issue, path: [...path, ...issue.path] })));
  }
}
