import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One call that came in. */
export interface Call {
  readonly target: string;
  readonly authorization: string;
  readonly body: { KeyId: string; Plaintext?: string; CiphertextBlob?: string; EncryptionContext?: Record<string, string> };
}

/** What the server does instead of answering, once for each entry. */
export type Fault = 'throttle' | 'hang' | 'break' | 'internal';

const errors = {
  disabled: [400, 'DisabledException'],
  denied: [400, 'AccessDeniedException'],
  deleted: [400, 'KMSInvalidStateException'],
  busy: [400, 'ThrottlingException'],
} as const satisfies Record<string, [number, string]>;

/**
 * Speaks the calls of AWS KMS that are used here (JSON 1.1, `TrentService.Encrypt` and `Decrypt`): ciphertext is bound to its key and to its
 * encryption context, requests must be signed (the form of the signature is looked at, not its value).
 */
export class KmsServer {
  readonly calls: Call[] = [];
  /** What goes wrong with the next calls, in order. */
  faults: Fault[] = [];
  /** What is wrong with each key, by ARN. */
  readonly states = new Map<string, keyof typeof errors>();
  readonly #keys = new Map<string, Buffer>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  addKey(region = 'eu-central-1'): string {
    const arn = `arn:aws:kms:${region}:111122223333:key/${randomBytes(16).toString('hex')}`;
    this.#keys.set(arn, randomBytes(32));
    return arn;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += chunk;
    const target = String(request.headers['x-amz-target']);
    const authorization = String(request.headers.authorization);
    const body = JSON.parse(text) as Call['body'];
    this.calls.push({ target, authorization, body });
    const reply = (status: number, json: object) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(json));
    };
    const fail = (status: number, name: string) => reply(status, { __type: name, message: `Something about ${text}` });

    const fault = this.faults.shift();
    if (fault === 'hang') return;
    if (fault === 'break') return void request.socket.destroy();
    if (fault === 'throttle') return fail(400, 'ThrottlingException');
    if (fault === 'internal') return fail(500, 'KMSInternalException');
    const signed =
      /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([a-z0-9-]+)\/kms\/aws4_request, SignedHeaders=(\S+), Signature=[0-9a-f]{64}$/;
    const [, region, headers = ''] = signed.exec(authorization) ?? [];
    if (!region || !headers.includes('x-amz-target') || !request.headers['x-amz-date']) return fail(400, 'IncompleteSignatureException');
    if (request.headers['content-type'] !== 'application/x-amz-json-1.1') return fail(400, 'SerializationException');
    const key = this.#keys.get(body.KeyId);
    if (!key || region !== body.KeyId.split(':')[3]) return fail(400, 'NotFoundException');
    const state = this.states.get(body.KeyId);
    if (state) return fail(errors[state][0], errors[state][1]);

    const context = Buffer.from(JSON.stringify(Object.entries(body.EncryptionContext ?? {}).sort()));
    if (target === 'TrentService.Encrypt') {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(context);
      const sealed = Buffer.concat([cipher.update(Buffer.from(body.Plaintext!, 'base64')), cipher.final()]);
      const blob = Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
      return reply(200, { KeyId: body.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' });
    }
    if (target !== 'TrentService.Decrypt') return fail(400, 'UnknownOperationException');
    try {
      const blob = Buffer.from(body.CiphertextBlob!, 'base64');
      const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(0, 12)).setAAD(context).setAuthTag(blob.subarray(12, 28));
      const plain = Buffer.concat([decipher.update(blob.subarray(28)), decipher.final()]).toString('base64');
      return reply(200, { KeyId: body.KeyId, Plaintext: plain, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' });
    } catch {
      return fail(400, 'InvalidCiphertextException');
    }
  }
}

/** The settings by which AWS's SDK finds this server and credentials for it. */
export function awsSettings(endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_KMS: endpoint,
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}
