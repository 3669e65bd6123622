import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runHere } from './here.ts';

const committed = readFileSync(new URL('../../subgraph.graphql', import.meta.url), 'utf8');
const print = (settings: Record<string, string> = {}) => runHere(['subgraph'], settings);

describe('credential-gateway subgraph', () => {
  it('prints subgraph.graphql, without a database, a key or any other setting', async () => {
    // In production, the gateway would not start with these settings.
    for (const settings of [undefined, { NODE_ENV: 'production', FEDERATION: 'false', MONGODB_URI: 'nonsense' }]) {
      expect(await print(settings)).toEqual({ code: 0, stdout: committed, stderr: '' });
    }
  });

  it('prints it with what is added and with other names', async () => {
    const { stdout } = await print({
      FEDERATION_ADDS: 'plaintext, scopes, credentials',
      TYPE_NAMES: 'Connection=ServiceConnection',
      ROOT_FIELDS: 'Query.node=-,Query.viewer=gatewayViewer',
    });
    expect(stdout).toMatch(/^ {2}revealSecret.*@tag\(name: "plaintext"\)/ms);
    expect(stdout).toContain(
      '@requiresScopes(scopes: [["connections.get"], ["connections.*"], ["all.Organization"], ["all.Organization.read"]])',
    );
    expect(stdout).toContain('interface CredentialBase implements Node @key(fields: "id")');
    expect(stdout).toContain('type ServiceConnection implements');
    expect(stdout).toMatch(/^ {2}gatewayViewer: Viewer/m);
    expect(stdout).not.toMatch(/^ {2}(node\(|viewer:)/m);
  });

  it('leaves out what returns secrets, with all that nothing else needs', () => {
    const leftOut = [
      'revealSecret',
      'createAPIKey',
      'rotateAPIKey',
      'createEndUserToken',
      'createSSOLink',
      'authorizeRequest',
      'createWebhook',
      'rotateWebhookSecret',
    ];
    for (const name of leftOut) expect(committed).not.toMatch(new RegExp(`^ {2}${name}\\(`, 'm'));
    for (const name of [
      'RevealedSecret',
      'RevealSecretInput',
      'RevealSecretResult',
      'IssuedAPIKey',
      'EndUserToken',
      'SSOLink',
      'AuthorizedRequest',
      'IssuedWebhook',
    ]) {
      expect(committed).not.toMatch(new RegExp(`^(type|input|union|enum) ${name}\\b`, 'm'));
    }
    expect(committed).not.toContain('plaintext"');
    expect(committed.match(/@shareable/g)).toHaveLength(2);
    expect(committed).toContain('type PageInfo @shareable');
  });

  it.each([
    [{ FEDERATION_ADDS: 'secrets' }, /^FEDERATION_ADDS must be of: plaintext, scopes, credentials\.$/m],
    [{ TYPE_NAMES: 'Nothing=Something' }, /^TYPE_NAMES or ROOT_FIELDS: there is no type Nothing\.$/m],
    [{ ROOT_FIELDS: 'Query.viewer=connections' }, /^TYPE_NAMES or ROOT_FIELDS: .* would both be called connections\.$/m],
    [{ TYPE_NAMES: 'Connection' }, /^TYPE_NAMES must be pairs/m],
    [{ TYPE_NAMES: 'Connection=A,Connection=B' }, /^TYPE_NAMES must not name the same one twice\.$/m],
    [{ ROOT_FIELDS: 'viewer=me' }, /^ROOT_FIELDS must be pairs/m],
    [{ ROOT_FIELDS: 'Query.viewer=' }, /^ROOT_FIELDS must be pairs/m],
  ])('says what is wrong with %j', async (settings, message) => {
    expect(await print(settings)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(message) });
  });
});
