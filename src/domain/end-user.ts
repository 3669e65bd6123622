import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import { checkChanges, checkInput, refuseUnknown } from '../fields/check.ts';
import { type ChangesOf, type Choices, choice, type InputOf, objectList, objectType, text } from '../fields/field.ts';
import { DuplicateKeyError } from '../store/database.ts';
import { type Contact, type ContactType, contactTypes, type EndUserRecord } from '../store/end-user.ts';
import { removeCredentials } from './credential.ts';
import { type Forceable, recordCascades, refuseIfInUse } from './deletion.ts';
import { type FieldsIn, nameText } from './fields.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { holdPrimary } from './primary-connection.ts';
import { ABSENT, expectVersion, newRecord, type Target, type Upserted, updateRecord, upserting } from './records.ts';
import {
  type ConnectionRef,
  type EndUserRef,
  type IntegrationRef,
  requireConnection,
  requireEndUser,
  requireIntegration,
} from './references.ts';
import { Checks } from './validation.ts';

/** The types of contacts. */
export const contactType = {
  enumName: 'ContactType',
  description: 'The type of a contact. An end user has at most one contact of each type.',
  values: {
    REGULAR: 'The regular contact.',
    BILLING: 'The billing contact.',
    ADMINISTRATOR: 'The administrator contact.',
    TECHNICAL: 'The technical contact.',
  },
} as const satisfies Choices<ContactType>;

/** The fields of a contact that callers write. `emailVerified` is not one of them. */
export const contactInput = objectType({
  typeName: 'Contact',
  inputName: 'ContactInput',
  description: 'A person or mailbox that represents an end user.',
  fields: {
    type: choice({ choices: contactType, description: 'The type.' }),
    name: text({ ...nameText, optional: true, description: 'The name of the person. Null if not set.' }),
    email: text({
      optional: true,
      maxLength: 254,
      format: 'email',
      description: 'The email address. Null if not set. To verify it, use `setEmailVerified`.',
    }),
    phone: text({ optional: true, maxLength: 64, format: 'name', description: 'The phone number, as entered. Null if not set.' }),
  },
});

/** The fields of an end user that callers can change. */
export const endUserFields = {
  displayName: text({
    optional: true,
    default: '',
    minLength: 0,
    maxLength: 255,
    format: 'name',
    description: 'A name for people. Need not be unique. Empty if not set.',
  }),
  contacts: objectList(contactInput, {
    optional: true,
    default: [],
    maxItems: contactTypes.length,
    uniqueBy: 'type',
    description: 'The contacts. An update replaces the whole list; an unchanged email address stays verified.',
  }),
} satisfies FieldsIn<EndUserRecord>;
/** The fields of an end user that cannot be changed. */
export const endUserIdentity = {
  externalId: text({
    maxLength: 255,
    format: 'externalId',
    description:
      'The organization’s own id for the end user. Unique within the integration; never changes. Do not use an email address, because it can change.',
  }),
} satisfies FieldsIn<EndUserRecord>;
const newEndUser = { ...endUserIdentity, ...endUserFields };

/** @throws ValidationError, InvalidIntegrationError, ConflictError */
export async function createEndUser(
  context: MutationContext,
  input: InputOf<typeof newEndUser> & { readonly integration: IntegrationRef },
): Promise<EndUserRecord> {
  const { store } = context;
  const { integration: ref, ...given } = input;
  const checks = new Checks(context);
  const checked = await checks.run(() => checkInput(newEndUser, given));
  const change = async () => {
    const integration = await requireIntegration(context, ref, ['integration']);
    await store.slots.attach(integration.id);
    const contacts = keepVerified(checked!.contacts, []);
    const record = { ...newRecord(context), integrationId: integration.id, ...checked!, contacts };
    try {
      return await store.endUsers.insert(record);
    } catch (error) {
      if (!(error instanceof DuplicateKeyError)) throw error;
      throw new ConflictError('An end user with this external id already exists in the integration.', ['externalId']);
    }
  };
  return checks.thenMake(() => mutate(context, change), [() => requireIntegration(context, ref, ['integration'])]);
}

/**
 * Creates an end user, or changes the one that has the external id. Then absent fields are kept, and null clears a field.
 * @throws ValidationError, InvalidIntegrationError, ConflictError, AlteredRecordError, StorageLimitError
 */
export async function upsertEndUser(
  context: MutationContext,
  input: InputOf<typeof newEndUser> & { readonly integration: IntegrationRef; readonly expectedVersion?: number | null },
): Promise<Upserted<EndUserRecord>> {
  const { store } = context;
  const { integration: ref, expectedVersion, ...given } = input;
  const checks = new Checks(context);
  const checked = await checks.run(() => checkInput(newEndUser, given));
  let created = false;
  const change = async () => {
    const integration = await requireIntegration(context, ref, ['integration']);
    const { externalId, ...values } = checked!;
    const found = await store.endUsers.one({ integrationId: integration.id, externalId });
    expectVersion(found ?? ABSENT, expectedVersion);
    created = found === null;
    const contacts = keepVerified(checked!.contacts, found?.contacts ?? []);
    if (found) {
      const written = Object.entries({ ...values, contacts }).filter(([name]) => given[name as keyof typeof given] !== undefined);
      return updateRecord(context, store.endUsers, found, Object.fromEntries(written));
    }
    await store.slots.attach(integration.id);
    return store.endUsers.insert({ ...newRecord(context), integrationId: integration.id, ...checked!, contacts });
  };
  const record = await checks.thenMake(
    () => upserting(() => mutate(context, change)),
    [() => requireIntegration(context, ref, ['integration'])],
  );
  return { record, created };
}

/** @throws ValidationError, NotFoundError, ConflictError */
export async function updateEndUser(
  context: MutationContext,
  input: Target<'endUser', EndUserRef> & ChangesOf<typeof endUserFields> & { readonly primaryConnection?: ConnectionRef | null },
): Promise<EndUserRecord> {
  const { endUser: ref, expectedVersion, primaryConnection: primary, ...changes } = input;
  const checks = new Checks(context);
  const checked = await checks.run(() => checkChanges(endUserFields, changes));
  const change = async () => {
    const { contacts, ...rest } = checked!;
    const record = await requireEndUser(context, ref, ['endUser']);
    expectVersion(record, expectedVersion);
    const primaryConnectionId = primary && (await holdPrimary(context, record, primary, ['primaryConnection']));
    const written = {
      ...rest,
      ...(contacts && { contacts: keepVerified(contacts, record.contacts) }),
      ...(primaryConnectionId !== undefined && { primaryConnectionId }),
    };
    return updateRecord(context, context.store.endUsers, record, written);
  };
  return checks.thenMake(
    () => mutate(context, change),
    [() => requireEndUser(context, ref, ['endUser']), () => primary && requireConnection(context, primary, ['primaryConnection'])],
  );
}

/**
 * Confirms that an email address belongs to the contact, or withdraws the confirmation. The caller sends the address, so that an address
 * that has changed in the meantime is not confirmed by mistake.
 *
 * @throws NotFoundError, ValidationError
 */
export async function setEmailVerified(
  context: MutationContext,
  input: { readonly endUser: EndUserRef; readonly contactType: ContactType; readonly email: string; readonly verified: boolean },
): Promise<EndUserRecord> {
  const { endUser: ref, contactType: type, email, verified, ...rest } = input;
  refuseUnknown(rest);
  return mutate(context, async () => {
    const record = await requireEndUser(context, ref, ['endUser']);
    const contact = record.contacts.find((each) => each.type === type);
    if (!contact) throw new NotFoundError('contact', ['contactType']);
    if (contact.email !== email)
      throw new ValidationError([{ path: ['email'], message: 'is not the current email address of the contact' }]);
    const contacts = record.contacts.map((other) => (other === contact ? { ...contact, emailVerified: verified } : other));
    return updateRecord(context, context.store.endUsers, record, { contacts });
  });
}

/**
 * Deletes an end user; with `force`, also its connections and its own credentials.
 * @throws NotFoundError, ConflictError, InUseError, ForbiddenError
 */
export async function deleteEndUser(
  context: MutationContext,
  { endUser: ref, expectedVersion, force, ...rest }: Target<'endUser', EndUserRef> & Forceable,
): Promise<string> {
  refuseUnknown(rest);
  const { store } = context;
  return mutate(context, async () => {
    const { id, version, integrationId } = await requireEndUser(context, ref, ['endUser'], 'evenAltered');
    expectVersion({ version }, expectedVersion);
    await store.endUsers.touch(id);
    const contents = { endUserId: id };
    if (!force) await refuseIfInUse(context, 'end user', { connections: contents, credentials: contents });
    await recordCascades(context, { noun: 'endUser', id }, [
      { noun: 'connection', verb: 'delete', ids: await store.connections.ids(contents) },
      { noun: 'credential', verb: 'delete', ids: await store.credentials.ids(contents) },
    ]);
    await store.connections.remove(contents);
    await removeCredentials(context, contents);
    await store.authorizations.removeAll({ integrationId, endUserId: id });
    await store.endUsers.remove({ id });
    return id;
  });
}

/** Keeps a contact verified if its email address has not changed. */
export function keepVerified(contacts: readonly Omit<Contact, 'emailVerified'>[], before: readonly Contact[]): Contact[] {
  return contacts.map((contact) => ({
    ...contact,
    emailVerified:
      contact.email !== null &&
      before.some(({ type, email, emailVerified }) => type === contact.type && email === contact.email && emailVerified),
  }));
}
