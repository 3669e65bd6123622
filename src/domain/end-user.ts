import { z } from 'zod';
import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import { DuplicateKeyError } from '../store/database.ts';
import { type Contact, type ContactType, contactTypes, type EndUserRecord } from '../store/end-user.ts';
import { removeCredentials } from './credential.ts';
import { type DeletionOptions, refuseIfInUse } from './deletion.ts';
import { type MutationContext, mutate } from './mutate.ts';
import { expectVersion, newRecord, updateRecord } from './records.ts';
import { type EndUserRef, type IntegrationRef, requireEndUser, requireIntegration } from './references.ts';
import { anyText, check, emailText, nameText } from './validation.ts';

const contactFields = z.object({
  type: z.enum(contactTypes),
  name: nameText.nullable().default(null),
  email: emailText.nullable().default(null),
  phone: anyText.min(1).max(64).nullable().default(null),
});
const contactList = z
  .array(contactFields)
  .max(contactTypes.length)
  .refine((contacts) => new Set(contacts.map(({ type }) => type)).size === contacts.length, 'must have one contact of each type at most');
const externalIdText = anyText.min(1).max(255);
const changeable = z.object({ displayName: anyText.max(255), contacts: contactList });

export interface ContactInput {
  readonly type: ContactType;
  readonly name?: string | null;
  readonly email?: string | null;
  readonly phone?: string | null;
}
export interface EndUserChanges {
  readonly displayName?: string | null;
  readonly contacts?: readonly ContactInput[] | null;
}
export interface EndUserInput extends EndUserChanges {
  readonly integration: IntegrationRef;
  readonly externalId: string;
}

/** @throws ValidationError, InvalidIntegrationError, ConflictError */
export async function createEndUser(context: MutationContext, input: EndUserInput): Promise<EndUserRecord> {
  const { store } = context;
  const externalId = check(externalIdText, input.externalId, ['input', 'externalId']);
  const { displayName, contacts } = check(changeable, { displayName: input.displayName ?? '', contacts: input.contacts ?? [] }, ['input']);
  return mutate(context, async () => {
    const integration = await requireIntegration(context, input.integration, ['input', 'integration']);
    await store.slots.attach(integration.id);
    const record = { ...newRecord(context), integrationId: integration.id, externalId, displayName, contacts: keepVerified(contacts, []) };
    try {
      return await store.endUsers.insert(record);
    } catch (error) {
      if (!(error instanceof DuplicateKeyError)) throw error;
      throw new ConflictError('There is an end user with this external id in the integration already.', ['input', 'externalId']);
    }
  });
}

/** @throws ValidationError, NotFoundError, ConflictError */
export async function updateEndUser(
  context: MutationContext,
  ref: EndUserRef,
  changes: EndUserChanges,
  expectedVersion?: number | null,
): Promise<EndUserRecord> {
  const cleared = {
    ...(changes.displayName !== undefined && { displayName: changes.displayName ?? '' }),
    ...(changes.contacts !== undefined && { contacts: changes.contacts ?? [] }),
  };
  const { contacts, ...rest } = check(changeable.partial(), cleared, ['input']);
  return mutate(context, async () => {
    const record = await requireEndUser(context, ref, ['endUser']);
    expectVersion(record, expectedVersion);
    const written = { ...rest, ...(contacts && { contacts: keepVerified(contacts, record.contacts) }) };
    return updateRecord(context, context.store.endUsers, record, written);
  });
}

/**
 * Vouches that a contact's mail address belongs to the contact, or takes that back. The address is named, so that one which was changed
 * meanwhile is not vouched for by mistake.
 *
 * @throws NotFoundError, ValidationError
 */
export async function setEmailVerified(
  context: MutationContext,
  ref: EndUserRef,
  vouched: { readonly contactType: ContactType; readonly email: string; readonly verified: boolean },
): Promise<EndUserRecord> {
  return mutate(context, async () => {
    const record = await requireEndUser(context, ref, ['endUser']);
    const contact = record.contacts.find(({ type }) => type === vouched.contactType);
    if (!contact) throw new NotFoundError('contact', ['contactType']);
    if (contact.email !== vouched.email) throw new ValidationError([{ path: ['email'], message: 'is not the contact’s address now' }]);
    const contacts = record.contacts.map((other) => (other === contact ? { ...contact, emailVerified: vouched.verified } : other));
    return updateRecord(context, context.store.endUsers, record, { contacts });
  });
}

/** Deletes an end user, with `force` also its connections and its own credentials. @throws NotFoundError, ConflictError, InUseError */
export async function deleteEndUser(context: MutationContext, ref: EndUserRef, options: DeletionOptions): Promise<string> {
  const { store } = context;
  return mutate(context, async () => {
    const { id, version } = await requireEndUser(context, ref, ['endUser']);
    expectVersion({ version }, options.expectedVersion);
    await store.endUsers.touch(id);
    const contents = { endUserId: id };
    if (!options.force) await refuseIfInUse(context, 'end user', { connections: contents, credentials: contents });
    await store.connections.remove(contents);
    await removeCredentials(context, contents);
    await store.endUsers.remove({ id });
    return id;
  });
}

/** A contact stays verified only while its address stays what it was. */
function keepVerified(contacts: readonly Omit<Contact, 'emailVerified'>[], before: readonly Contact[]): Contact[] {
  return contacts.map((contact) => ({
    ...contact,
    emailVerified:
      contact.email !== null &&
      before.some(({ type, email, emailVerified }) => type === contact.type && email === contact.email && emailVerified),
  }));
}
