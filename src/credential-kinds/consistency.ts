import type { Choices } from '../fields/field.ts';
import { type CredentialKind, GENERATE, type KindField } from './define.ts';
import type { Fact, FactObject } from './facts.ts';

/** The fields that every credential has, whatever its kind. No kind may use these names for fields of its own. */
const commonNames = [
  ...['id', 'name', 'description', 'kind', 'enabled', 'version', 'expiresAt', 'lastUsedAt', 'errors', 'usages', 'createdAt', 'updatedAt'],
  ...['integration', 'endUser', 'connections', 'allowedDomains', 'allowedPurposes', '__typename', GENERATE],
  ...[
    'state',
    'problems',
    'checkedAt',
    'runsOutAt',
    'tokenFacts',
    'organization',
    'createdBy',
    'updatedBy',
    'integrity',
    'fields',
    'facts',
  ],
];

/**
 * Checks that all kinds fit into one schema. A query over several kinds is valid only if fields with the same name have the same type in
 * all of them.
 *
 * @throws Error naming the two kinds that conflict
 */
export function assertConsistent(kinds: readonly CredentialKind[]): void {
  const types = new Map<string, { kind: string; type: string }>();
  const named = new Map<string, { kind: string; value: Choices | FactObject | string }>();

  const claim = (kind: string, typeName: string, value: Choices | FactObject | string) => {
    const other = named.get(typeName);
    if (other && other.value !== value)
      throw new Error(`Credential kinds ${other.kind} and ${kind} both define ${typeName}; share one value.`);
    named.set(typeName, { kind, value });
  };

  for (const { kind, typeName, fields, facts = {}, storedAs } of kinds) {
    if (kinds.filter((other) => other.kind === kind).length > 1) throw new Error(`Credential kind ${kind} is listed twice.`);
    claim(kind, typeName, kind);
    if (storedAs && !kinds.some((other) => other.kind === storedAs && !other.storedAs))
      throw new Error(`Credential kind ${kind} is stored as ${storedAs}, which is not a kind that can be read.`);

    for (const [name, member] of Object.entries<KindField | Fact>({ ...fields, ...facts })) {
      // Nobody reads a credential of a kind that is for input only.
      if (commonNames.includes(name) && (!storedAs || name === GENERATE))
        throw new Error(`Credential kind ${kind}: ${name} is a field that every credential has.`);
      const type = outputType(member);
      const other = types.get(name);
      if (other && other.type !== type)
        throw new Error(`Credential kinds ${other.kind} and ${kind} disagree about ${name}: ${other.type} there, ${type} here.`);
      types.set(name, { kind, type });
      if (typeof member.type === 'object') claim(kind, member.type.typeName, member.type);
      if (member.type === 'Choice') {
        claim(kind, member.choices.enumName, member.choices);
        assertChoices(kind, member.choices, member.only);
      }
    }
  }
}

/** Returns the GraphQL output type of a field or fact, without nullability. */
export function outputType(member: KindField | Fact): string {
  if (typeof member.type === 'object') return member.type.typeName;
  if ('secret' in member && member.secret) return 'Secret';
  if (member.type === 'Choice') return member.choices.enumName;
  return member.type === 'StringList' ? '[String]' : member.type;
}

/** Names of a standard, which are case-sensitive: those of RFC 8037. */
const standardNames = ['EdDSA'];

function assertChoices(kind: string, { enumName, values }: Choices, only: readonly string[] = []): void {
  for (const value of Object.keys(values))
    if (!/^[A-Z][A-Z0-9_]*$/.test(value) && !standardNames.includes(value))
      throw new Error(`Credential kind ${kind}: ${enumName}.${value} is not in UPPER_CASE.`);
  for (const value of only) if (!(value in values)) throw new Error(`Credential kind ${kind}: ${value} is not in ${enumName}.`);
}
