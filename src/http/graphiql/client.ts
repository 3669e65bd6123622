import { credentialIdQuery, examples } from './examples.ts';

export interface ClientSettings {
  /** The claim of a token that names the organization; the page shows which one it works in. */
  readonly organizationClaim: string;
  /** Where the workers of the editor are, by Monaco's name for each, relative to the page. */
  readonly workers: Readonly<Record<string, string>>;
}

/**
 * The page's own script. It runs in the browser before anything else, and what it takes care of is the token: it comes from the address'
 * fragment, which servers and logs never see, leaves the address at once, and is kept for this tab only (sessionStorage).
 * What a person types may hold secrets, so GraphiQL gets a storage that forgets, and does not write the query to the address either.
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
  /** Why the gateway did not take the token, in its words. */
  let refusal = '';

  function fromAddress() {
    const match = /[#&]token=([^&]+)/.exec(location.hash);
    // The query string goes too: a link must not be able to put an operation before somebody who holds a token.
    if (location.hash || location.search) history.replaceState(null, '', endpoint);
    return match && keep(match[1]);
  }

  function keep(given) {
    try {
      sessionStorage.setItem('token', given);
    } catch {
      // A browser that forbids storage: the token is good until the next reload.
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
    // GraphiQL's own shortcut for reading the schema again.
    window.dispatchEvent(new KeyboardEvent('keydown', { key: 'R', ctrlKey: true, shiftKey: true }));
  }

  // Opening the printed address again in this tab changes only the fragment, and loads nothing.
  window.addEventListener('hashchange', () => {
    const given = fromAddress();
    if (given) use(given);
  });

  /** What a JWT says of itself; nothing for another token. The gateway checks it, this only shows it. */
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
      return failure('There is no token yet. Paste one above, or open the address that the gateway printed when it started.');
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
      return response.json().catch(() => failure('The gateway answered with status ' + response.status + ', and not with JSON.'));
    };
    // For a moment after a change of tabs GraphiQL still gives the name of the operation in the tab before.
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
      return failure(error instanceof TypeError ? 'The gateway does not answer. Is it running?' : error.message);
    }
  }

  function failure(message) {
    return { errors: [{ message }] };
  }

  /** The variables, each "<id of NAME>" replaced by the id of the examples' credential of that name. */
  async function withIds(variables, ask) {
    const found = { ...variables };
    for (const [variable, value] of Object.entries(found)) {
      const name = typeof value === 'string' && /^<id of (.+)>$/.exec(value)?.[1];
      if (!name) continue;
      const { data } = await ask({ query: settings.credentialIdQuery, variables: { name } });
      const id = data?.credentials?.nodes?.[0]?.id;
      if (!id) throw new Error('There is no credential called ' + name + ' yet, or the token may not read it. The first tab, SetUp, makes it.');
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
      // Only these characters can stand in a header.
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
      parts.push('token good until ', until.toLocaleString('en', { ...day, timeStyle: 'short', hourCycle: 'h23' }));
    } else parts.push('with a token');
    return element('span', { className: 'whose' }, ...parts, element('button', { className: 'other', type: 'button' }, 'Use another token'));
  }

  function question() {
    const why = refusal ? refusal + ' ' : token ? '' : 'This page has no token yet. ';
    return [
      element('span', { className: 'hint' }, element('b', {}, why), 'Open the address that ', element('code', {}, 'npm start'),
        ' printed, or paste a token. This makes one where the gateway runs: ', element('code', {}, command)),
      element('form', {},
        element('input', { type: 'password', placeholder: 'Token', autocomplete: 'off', required: true, ariaLabel: 'Token' }),
        element('button', { type: 'submit' }, 'Use it'),
        ...(token && !refusal ? [element('button', { type: 'button', className: 'cancel' }, 'Cancel')] : [])),
    ];
  }

  // --- GraphiQL ---

  /**
   * A storage that ends with the page: tabs, variables and history may hold secrets that somebody typed. It begins with the proportions of
   * the panes, which GraphiQL reads from nowhere else.
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
      // The stock handler writes the query into the address.
      onEditQuery: () => {},
      defaultTabs: settings.tabs,
      // GraphiQL takes the first tab's query from its definition, but not its variables.
      variables: settings.tabs[0].variables,
    });
  });
`;
