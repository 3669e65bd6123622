import { describe, expect, it } from 'vitest';
import { connectionFields } from '../../src/domain/connection.ts';
import { useFields } from '../../src/domain/credential-use.ts';
import { checkValue, standardFormOf } from '../../src/fields/check.ts';
import type { Field } from '../../src/fields/field.ts';
import { formats } from '../../src/fields/formats.ts';
import { type Json, useTestGateway } from '../harness.ts';
import { credentialKinds } from '../kinds.ts';
import { resign } from '../vault.ts';

// Host names have no case (RFC 9110, section 4.2.3). Each has one form in the database, so that it is found whatever its case.

/** Every field that holds a host name. */
const hostFields: [string, Field][] = [
  ...credentialKinds.flatMap(({ kind, fields }) =>
    Object.entries(fields).map(([name, field]) => [`${kind}.${name}`, field] as [string, Field]),
  ),
  ...Object.entries(connectionFields).map(([name, field]) => [`connection.${name}`, field] as [string, Field]),
  ...Object.entries(useFields).map(([name, field]) => [`credential.${name}`, field] as [string, Field]),
].filter(([, field]) => 'format' in field && field.format !== undefined && /^host/.test(field.format));

describe('a field that holds host names stores them in one form', () => {
  it('there are some', () => {
    expect(hostFields.map(([name]) => name)).toEqual(
      expect.arrayContaining(['connection.allowedDomain', 'credential.allowedDomains', 'sql.host', 'snowflake.host', 'datadog.site']),
    );
  });

  it.each(hostFields)('%s', (_name, field) => {
    const value = (text: string) => checkValue(field, field.type === 'StringList' ? [text] : text);
    for (const text of ['API.Example.COM', 'api.example.com', 'XN--BCHER-KVA.example'])
      expect(value(text)).toEqual(value(text.toLowerCase()));
    expect(JSON.stringify(value('API.Example.COM'))).toContain('"api.example.com"');
    // What only looks like a host name is not made one.
    expect(() => value('\uff45xample.com')).toThrow();
  });

  it('and a canonical form is accepted and does not change', () => {
    for (const [name, { accepts }] of Object.entries(formats)) {
      for (const text of ['API.Example.COM', '*.API.example.com', '2001:DB8::1', '127.0.0.1', 'a b', '']) {
        const canonical = standardFormOf(name as keyof typeof formats, text);
        expect(standardFormOf(name as keyof typeof formats, canonical)).toBe(canonical);
        if (accepts(text)) expect(accepts(canonical), `${name}: ${text}`).toBe(true);
      }
    }
  });
});

describe('a connection', () => {
  const test = useTestGateway();

  it('is found by its domain in any case, also one that an earlier version stored as it was given', async () => {
    const caller = { organization: test.newOrganization() };
    await test.create(caller, 'Integration', { name: 'crm' });
    const make = (name: string, allowedDomain: string) =>
      test.create(caller, 'Connection', { integration: { name: 'crm' }, name, allowedDomain }, 'allowedDomain');
    expect(await make('new', 'ACME.Zendesk.com')).toEqual({ allowedDomain: 'acme.zendesk.com' });
    const found = async (allowedDomain: string) => {
      const { connections } = await test.query(caller, 'query ($d: String) { connections(allowedDomain: $d) { nodes { name } } }', {
        d: allowedDomain,
      });
      return connections.nodes.map(({ name }: Json) => name).sort();
    };
    for (const domain of ['acme.zendesk.com', 'ACME.Zendesk.com', 'ACME.ZENDESK.COM']) expect(await found(domain)).toEqual(['new']);
    await make('old', 'other.example.com');
    await resign(test, 'connection', { organizationId: caller.organization, name: 'old' }, (document: Json) => ({
      ...document,
      allowedDomain: 'ACME.Zendesk.com',
    }));
    expect(await found('ACME.Zendesk.com')).toEqual(['new', 'old']);
  });
});
