// The entries of the two lists of credentials that a connection has: what callers send, and what becomes of it.

import { type Issue, type Path, ValidationError } from '../errors.ts';
import { checkInput, refuseUnknown } from '../fields/check.ts';
import { object } from '../fields/field.ts';
import type { Binding, ConnectionRecord } from '../store/connection.ts';
import type { AuthScheme } from '../store/connector.ts';
import {
  type AuthSchemeInput,
  authScheme,
  credentialsIn,
  credentialsOf,
  refuseOtherTypes,
  refuseSameIds,
  toStored,
} from './auth-scheme.ts';
import { holdCredentials, type NamedCredential } from './binding.ts';
import type { DomainContext } from './context.ts';
import { insertCredential, type NewCredential, type PreparedCredential, prepareCredential } from './credential.ts';
import { bindsIn, isSameScheme, putBack, type Visibility } from './credential-visibility.ts';
import { type MutationContext, recordAlso } from './mutate.ts';
import { exchangeCode, hasCode } from './oauth-code.ts';
import { at, Checks } from './validation.ts';

/** The maximum number of action and trigger credentials of a connection together. */
export const BINDINGS_MAX = 20;

/** A credential of a connection: an existing one, or one that is created together with the connection. */
export interface BindingInput {
  readonly credential: { readonly id?: string | null; readonly create?: NewCredential | null };
  readonly authScheme?: AuthSchemeInput | null;
}
/** A connection's credentials by list, in the order in which they are applied. */
export interface BindingLists {
  readonly actionCredentials?: readonly BindingInput[] | null;
  readonly triggerCredentials?: readonly BindingInput[] | null;
}
/** The fields of a binding that callers write, except its credential. */
export const bindingFields = {
  authScheme: object(authScheme, {
    optional: true,
    description:
      'How it authenticates: a whole auth scheme with its settings. It is not a reference: repeat the one of the connector if it is the same. Null if the credential’s kind decides. Of an `OAUTH2` scheme with the `schemeId` of one of the connector’s, the connector’s present settings refresh stored tokens.',
  }),
};
export const lists = ['actionCredentials', 'triggerCredentials'] as const;
export type List = (typeof lists)[number];

/**
 * An entry that passed all checks that need no transaction: an existing credential, or one to create. The scheme is undefined if the caller has
 * not sent it.
 */
export type Entry = ({ readonly id: string } | { readonly create: PreparedCredential }) & {
  readonly authScheme: AuthScheme | null | undefined;
};

/** Why an entry cannot be changed. */
export const HIDDEN = 'the entry names a credential that the viewer cannot see';

/** An entry, or a binding that stays as it is, and its path in the input. */
export interface Placed {
  readonly entry: Entry | Binding;
  readonly path: Path;
}

/** Returns entries with their paths. */
export function placed(list: List, entries: readonly Entry[]): Placed[] {
  return entries.map((entry, index) => ({ entry, path: [list, index] }));
}

/**
 * Checks the entries of the given lists, and returns the valid ones. Null is an empty list. Returns undefined if there are too many entries, which
 * are not checked one by one.
 */
export async function prepareLists(
  context: DomainContext,
  given: BindingLists,
  checks: Checks,
  mayExchange = false,
): Promise<Partial<Record<List, readonly Entry[]>> | undefined> {
  const areFew = await checks.run(() => {
    refuseTooMany(given);
    return true;
  });
  if (!areFew) return undefined;
  const prepared: Partial<Record<List, readonly Entry[]>> = {};
  for (const list of lists) {
    if (given[list] === undefined) continue;
    const sent = given[list] ?? [];
    const entries: Entry[] = [];
    for (const [index, entry] of sent.entries()) {
      const valid = await checks.run(() => at([list, index], () => prepareEntry(context, entry, mayExchange && checks.isEmpty)));
      if (valid) entries.push(valid);
    }
    await checks.run(() =>
      refuseSameIds(
        sent.map(({ authScheme }) => authScheme?.schemeId),
        (index) => [list, index, 'authScheme', 'schemeId'],
      ),
    );
    prepared[list] = entries;
  }
  return prepared;
}

/** Checks one entry. With `mayExchange`, exchanges the authorization code in it. @throws ValidationError with everything that is wrong with it */
export async function prepareEntry(context: DomainContext, { credential, ...given }: BindingInput, mayExchange = false): Promise<Entry> {
  const checks = new Checks();
  const valid = await checks.run(() => checkInput(bindingFields, given));
  const { id, create, ...rest } = credential;
  await checks.run(() => at(['credential'], () => refuseUnknown(rest)));
  const isId = typeof id === 'string';
  if (!isId && !create) checks.refuse(new ValidationError([{ path: ['credential'], message: 'must have exactly one member' }]));
  const scheme = valid?.authScheme && toStored(valid.authScheme);
  // A code is good once, so it is exchanged only if nothing else in the entry is wrong.
  if (valid && !isId && create && mayExchange && hasCode(create)) {
    checks.end();
    const exchanged = await at(['credential', 'create'], () => exchangeCode(context, create, scheme ?? null));
    return { create: await at(['credential', 'create'], () => prepareCredential(context, exchanged)), authScheme: scheme };
  }
  const created =
    isId || !create ? undefined : await checks.run(() => at(['credential', 'create'], () => prepareCredential(context, create)));
  checks.end();
  const authScheme = given.authScheme === undefined ? undefined : scheme;
  return isId ? { id, authScheme } : { create: created!, authScheme };
}

/** Returns the existing credentials that an input names. */
export function namedIn(given: BindingLists): NamedCredential[] {
  return lists.flatMap((list) => (given[list] ?? []).flatMap((entry, index) => namedBy(entry, [list, index])));
}

/** Returns the existing credentials that one entry names. */
export function namedBy({ credential, authScheme }: BindingInput, path: Path): NamedCredential[] {
  return [
    ...(typeof credential.id === 'string' ? [{ id: credential.id, path: [...path, 'credential', 'id'] }] : []),
    ...credentialsIn(authScheme).map((id) => ({ id, path: [...path, 'authScheme', 'oauth2'] })),
  ];
}

/**
 * Converts entries to bindings. Creates new credentials, and protects existing ones from being deleted at the same time. What is a binding
 * already needs no protection: deleting its credential writes the connection.
 */
export async function bind(
  context: MutationContext,
  connection: { readonly id: string; readonly integrationId: string; readonly endUserId: string | null },
  entries: readonly Placed[],
): Promise<Binding[]> {
  const fresh = entries.flatMap(({ entry, path }) => ('credentialId' in entry ? [] : [{ entry, path }]));
  await holdCredentials(
    context,
    connection,
    fresh.flatMap(({ entry, path }) => [
      ...('id' in entry ? [{ id: entry.id, path: [...path, 'credential', 'id'] }] : []),
      ...credentialsOf(entry.authScheme ?? null).map((id) => ({ id, path: [...path, 'authScheme', 'oauth2'] })),
    ]),
  );
  const bindings: Binding[] = [];
  const created: string[] = [];
  for (const { entry, path } of entries) {
    if ('credentialId' in entry) {
      bindings.push(entry);
      continue;
    }
    const authScheme = entry.authScheme ?? null;
    if ('id' in entry) {
      bindings.push({ credentialId: entry.id, authScheme });
      continue;
    }
    const { id } = await at([...path, 'credential', 'create'], () => insertCredential(context, connection, entry.create));
    created.push(id);
    bindings.push({ credentialId: id, authScheme });
  }
  await recordAlso(context, { action: 'createCredential', noun: 'credential', ids: created }, { noun: 'connection', id: connection.id });
  return bindings;
}

/** @throws ValidationError when both lists together have more credentials than a connection can have */
export function refuseTooMany(lists: {
  readonly actionCredentials?: readonly unknown[] | null;
  readonly triggerCredentials?: readonly unknown[] | null;
}) {
  if ((lists.actionCredentials?.length ?? 0) + (lists.triggerCredentials?.length ?? 0) <= BINDINGS_MAX) return;
  const list = (lists.actionCredentials?.length ?? 0) > BINDINGS_MAX ? 'actionCredentials' : 'triggerCredentials';
  throw new ValidationError([{ path: [list], message: `must not give the connection more than ${BINDINGS_MAX} credentials in total` }]);
}

/**
 * Returns the new list that follows from the entries that a caller sent. What a viewer cannot see, it cannot remove, and it cannot change how that
 * authenticates, because the scheme decides where a client is sent:
 *
 * - An entry that names a hidden credential, itself or in its scheme, may be sent: without a scheme, or with the stored one. Then the caller
 *   decides its position. If it is left out, it keeps its place.
 * - An entry whose credential has expired may be sent in the same way. If it is left out, it is removed.
 *
 * Only entries of the same list count: a credential for triggers must not become one for actions.
 *
 * @throws ValidationError
 */
export function withKept(
  record: ConnectionRecord,
  entries: readonly Entry[],
  list: List,
  visibility: ReadonlyMap<string, Visibility>,
): Placed[] {
  const unseen = record[list]
    .map((value, place) => ({ value, place, isHidden: bindsIn(visibility, value, 'HIDDEN') }))
    .filter(({ value, isHidden }) => isHidden || bindsIn(visibility, value, 'EXPIRED'));
  const issues: Issue[] = [];
  const sent = entries.map((entry, index): Placed => {
    const path = [list, index];
    const same = 'id' in entry ? unseen.filter(({ value }) => value.credentialId === entry.id) : [];
    const match = same.find(({ value }) => entry.authScheme === undefined || isSameScheme(value.authScheme, entry.authScheme));
    if (match) {
      unseen.splice(unseen.indexOf(match), 1);
      return { entry: match.value, path };
    }
    if (same.some(({ isHidden }) => isHidden)) {
      issues.push({ path: [...path, 'authScheme'], message: `must be left out, or stay as it is: ${HIDDEN}` });
    } else if ('id' in entry && visibility.get(entry.id) === 'HIDDEN') {
      issues.push({
        path: [...path, 'credential', 'id'],
        message: 'names a credential that the viewer cannot see, and no other entry of this list',
      });
    } else if (credentialsOf(entry.authScheme ?? null).some((id) => visibility.get(id) === 'HIDDEN')) {
      issues.push({
        path: [...path, 'authScheme', 'oauth2'],
        message: 'names a credential that the viewer cannot see, and no entry of this list',
      });
    }
    return { entry, path };
  });
  if (issues.length > 0) throw new ValidationError(issues);
  refuseOtherTypes(
    record[list].map(({ authScheme }) => authScheme),
    entries.map(({ authScheme }) => authScheme ?? null),
    (index) => [list, index, 'authScheme', 'schemeType'],
  );
  const kept = unseen
    .filter(({ isHidden }) => isHidden)
    .map(({ value, place }) => ({ value: { entry: value, path: [list] } satisfies Placed, place }));
  // The sent ones last, so that the error is about one of them.
  refuseSameIds([...kept.map(({ value }) => value.entry.authScheme?.id), ...entries.map(({ authScheme }) => authScheme?.id)], (index) => [
    list,
    index - kept.length,
    'authScheme',
    'schemeId',
  ]);
  return putBack(sent, kept);
}
