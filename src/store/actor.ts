import type { ViewerKind } from '../access/viewer.ts';
import { object, oneOf, text, type ValueOf } from './fields.ts';

/** The kinds of viewers who write records. `gateway` is the gateway itself. */
export const viewerKinds = ['token', 'apiKey', 'endUser', 'gateway'] as const satisfies readonly ViewerKind[];

export const actor = object({ kind: oneOf(viewerKinds), subject: text() });

/** Who created or changed a record: the kind and the subject of the viewer. */
export interface Actor extends ValueOf<typeof actor> {}

/** The subject of what the gateway itself does. */
export const GATEWAY_SUBJECT = '(credential-gateway)';
