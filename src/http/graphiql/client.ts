import { credentialIdQuery, examples } from './examples.ts';

export interface ClientSettings {
  /** The claim of a token that names the organization, which the page shows. */
  readonly organizationClaim: string;
  /** Maps Monaco's names of the editor's workers to their URLs, relative to the page. */
  readonly workers: Readonly<Record<string, string>>;
}

/**
 * The page's own script. It runs in the browser before anything else and handles the token: it reads it from the fragment of the address,
 * which servers and logs never see, removes it from the address at once, and keeps it for this tab only (sessionStorage).
 * What a person types can contain secrets, so GraphiQL stores it only until the page is closed and does not write the query to the address.
 */
export function clientScript({ organizationClaim, workers }: ClientSettings): string {
  const settings = {
    organizationClaim,
    workers,
    credentialIdQuery,
    tabs: examples.map(({ query, variables }) => ({ query, variables: variables && JSON.stringify(variables, null, 2) })),
  };
  return `'use strict';\n(() => {\n  const settings = ${JSON.stringify(settings)};\n${script}})();\n`;
}

const script = String.raw`
  const endpoint = location.pathname;
  const command = 'npx credential-gateway token --organization example --scope all.Organization credentials.reveal';

  // --- The token ---

  let token = fromAddress() || kept();
  /** The message with which the gateway rejected the token. */
  let refusal = '';

  function fromAddress() {
    const match = /[#&]token=([^&]+)/.exec(location.hash);
    // Removes the query string, too: a link must not be able to prefill an operation for somebody who has a token.
    if (location.hash || location.search) history.replaceState(null, '', endpoint);
    return match && keep(match[1]);
  }

  function keep(given) {
    try {
      sessionStorage.setItem('token', given);
    } catch {
      // The browser forbids storage: the token is lost at the next reload.
    }
    return given;
  }

  function kept() {
    try {
      return sessionStorage.getItem('token');
    } catch {
      return null;
    }
  }

  function use(given) {
    token = keep(given);
    refusal = '';
    showBar();
    // GraphiQL's own shortcut for reloading the schema.
    window.dispatchEvent(new KeyboardEvent('keydown', { key: 'R', ctrlKey: true, shiftKey: true }));
  }

  // Opening the printed address again in this tab changes only the fragment and does not reload the page.
  window.addEventListener('hashchange', () => {
    const given = fromAddress();
    if (given) use(given);
  });

  /** The claims of a JWT, or none for another token. They are only shown; the gateway verifies the token. */
  function claimsOf(jwt) {
    try {
      const payload = atob(jwt.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (character) => character.charCodeAt(0)))) ?? {};
    } catch {
      return {};
    }
  }

  // --- Operations ---

  async function run({ query, variables, operationName }, { headers = {} } = {}) {
    const sent = new Headers({ accept: 'application/json', 'content-type': 'application/json' });
    if (token) sent.set('authorization', 'Bearer ' + token);
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    if (!sent.has('authorization')) {
      return failure('There is no token yet. Paste one above, or open the address that the gateway printed at its start.');
    }
    const ask = async (body) => {
      const response = await fetch(endpoint, {
        method: 'POST',
        headers: sent,
        body: JSON.stringify(body),
        credentials: 'omit',
        cache: 'no-store',
        redirect: 'error',
      });
      return response.json().catch(() => failure('The gateway responded with status ' + response.status + ' and without JSON.'));
    };
    // For a moment after a change of tabs GraphiQL still passes the operation name of the previous tab.
    const isThere = operationName && new RegExp('\b' + operationName + '\b').test(query);
    try {
      const result = await ask({
        query,
        operationName: isThere ? operationName : undefined,
        variables: await withIds(variables, ask),
      });
      const refused = result.errors?.find((error) => error.extensions?.code === 'UNAUTHENTICATED');
      if (sent.get('authorization') === 'Bearer ' + token && refusal !== (refused?.message ?? '')) {
        refusal = refused?.message ?? '';
        showBar();
      }
      return result;
    } catch (error) {
      return failure(error instanceof TypeError ? 'The gateway does not respond. Is it running?' : error.message);
    }
  }

  function failure(message) {
    return { errors: [{ message }] };
  }

  /** Returns the variables, with each "<id of NAME>" replaced by the id of the credential with that name in the examples. */
  async function withIds(variables, ask) {
    const found = { ...variables };
    for (const [variable, value] of Object.entries(found)) {
      const name = typeof value === 'string' && /^<id of (.+)>$/.exec(value)?.[1];
      if (!name) continue;
      const { data } = await ask({ query: settings.credentialIdQuery, variables: { name } });
      const id = data?.credentials?.nodes?.[0]?.id;
      if (!id) throw new Error('There is no credential named ' + name + ', or the token may not read it. Run SetUp, the first tab, to create it.');
      found[variable] = id;
    }
    return found;
  }

  // --- The bar above GraphiQL ---

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function showBar(asks = !token || Boolean(refusal)) {
    const bar = document.getElementById('bar');
    if (!bar) return;
    bar.replaceChildren(element('strong', {}, 'credential-gateway'), ...(asks ? question() : [whose()]));
    bar.classList.toggle('asks', asks);
    bar.querySelector('button.cancel')?.addEventListener('click', () => showBar());
    bar.querySelector('button.other')?.addEventListener('click', () => {
      showBar(true);
      bar.querySelector('input').focus();
    });
    bar.querySelector('form')?.addEventListener('submit', (event) => {
      event.preventDefault();
      const given = bar.querySelector('input').value.trim();
      // A header allows only these characters.
      if (/^[\x21-\x7e]+$/.test(given)) use(given);
    });
  }

  function whose() {
    const claims = claimsOf(token);
    const parts = [];
    if (claims[settings.organizationClaim]) parts.push('organization ', element('b', {}, claims[settings.organizationClaim]), ' · ');
    if (claims.sub) parts.push(claims.sub, ' · ');
    if (claims.exp) {
      const until = new Date(claims.exp * 1000);
      const day = until.toDateString() === new Date().toDateString() ? {} : { dateStyle: 'medium' };
      parts.push('token valid until ', until.toLocaleString('en', { ...day, timeStyle: 'short', hourCycle: 'h23' }));
    } else parts.push('with a token');
    return element('span', { className: 'whose' }, ...parts, element('button', { className: 'other', type: 'button' }, 'Use another token'));
  }

  function question() {
    const why = refusal ? refusal + ' ' : token ? '' : 'This page has no token yet. ';
    return [
      element('span', { className: 'hint' }, element('b', {}, why), 'Open the address that ', element('code', {}, 'npm start'),
        ' printed, or paste a token. To create one, run this on the machine of the gateway: ', element('code', {}, command)),
      element('form', {},
        element('input', { type: 'password', placeholder: 'Token', autocomplete: 'off', required: true, ariaLabel: 'Token' }),
        element('button', { type: 'submit' }, 'Use token'),
        ...(token && !refusal ? [element('button', { type: 'button', className: 'cancel' }, 'Cancel')] : [])),
    ];
  }

  // --- GraphiQL ---

  /**
   * A storage that ends with the page, because tabs, variables and history can contain secrets that somebody typed. It initially contains
   * the proportions of the panes, which GraphiQL reads only from its storage.
   */
  function forgetfulStorage() {
    const entries = new Map([['graphiql:editorFlex', '1.25'], ['graphiql:secondaryEditorFlex', '5']]);
    return {
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => void entries.set(key, value),
      removeItem: (key) => void entries.delete(key),
      clear: () => entries.clear(),
      get length() {
        return entries.size;
      },
    };
  }

  self.MonacoEnvironment = {
    globalAPI: false,
    getWorkerUrl: (_, label) => new URL(settings.workers[label] ?? settings.workers.editorWorkerService, location.href).href,
  };

  document.addEventListener('DOMContentLoaded', () => {
    showBar();
    YogaGraphiQL.renderYogaGraphiQL(document.getElementById('root'), {
      fetcher: run,
      storage: forgetfulStorage(),
      shouldPersistHeaders: false,
      // The default handler writes the query into the address.
      onEditQuery: () => {},
      defaultTabs: settings.tabs,
      // GraphiQL takes the first tab's query from its definition, but not its variables.
      variables: settings.tabs[0].variables,
    });
  });
`;
