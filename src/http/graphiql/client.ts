import { renamedDocument } from '../../schema/index.ts';
import type { SchemaNames } from '../../schema-names.ts';
import { credentialIdQuery, examples } from './examples.ts';

export interface ClientSettings {
  /** The claim of a token that names the organization, which the page shows. */
  readonly organizationClaim: string;
  /** The names of the schema. */
  readonly names: SchemaNames;
  /** Maps Monaco's names of the editor's workers to their URLs, relative to the page. */
  readonly workers: Readonly<Record<string, string>>;
}

/**
 * The page's own script. It runs in the browser before anything else and handles the token: it reads it from the fragment of the address,
 * which servers and logs never see, removes it from the address at once, and keeps it for this tab only (sessionStorage).
 * What a person types can contain secrets, so GraphiQL stores it only until the page is closed and does not write the query to the address.
 */
export function clientScript({ organizationClaim, names, workers }: ClientSettings): string {
  const settings = {
    organizationClaim,
    workers,
    credentialIdQuery: renamedDocument(credentialIdQuery, names, { keepsKeys: true }) ?? credentialIdQuery,
    // An example that asks for what is left out is left out, too.
    tabs: examples.flatMap(({ query, variables }) => {
      const named = renamedDocument(query, names);
      return named === undefined ? [] : [{ query: named, variables: variables && JSON.stringify(variables, null, 2) }];
    }),
  };
  return `'use strict';\n(() => {\n  const settings = ${JSON.stringify(settings)};\n${script}})();\n`;
}

const script = String.raw`
  const endpoint = location.pathname;
  const command = 'node dist/main.js token --organization example --scope all.Organization credentials.reveal';

  // --- The token ---

  let token = kept();
  /** The token of a link that was opened while another token was in use. It is used only if the user agrees. */
  let offered = null;
  /** The message with which the gateway rejected the token. */
  let refusal = '';

  /** Removes the token from the address and returns it. */
  function fromAddress() {
    const match = /[#&]token=([\x21-\x7e]+)/.exec(location.hash);
    // Removes the query string, too: a link must not be able to prefill an operation for somebody who has a token.
    if (location.hash || location.search) history.replaceState(null, '', endpoint);
    return match && match[1].split('&')[0];
  }

  /**
   * Uses the token of a link if there is no other one. Otherwise asks: with the link of somebody else, a user who does not notice
   * would store secrets in that person's organization.
   */
  function offer(given) {
    if (!given || given === token) return;
    if (!token) return use(given);
    offered = given;
    ask();
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
    offered = null;
    refusal = '';
    showBar();
    // GraphiQL's own shortcut for reloading the schema.
    window.dispatchEvent(new KeyboardEvent('keydown', { key: 'R', ctrlKey: true, shiftKey: true }));
  }

  // Opening the printed address again in this tab changes only the fragment and does not reload the page.
  window.addEventListener('hashchange', () => offer(fromAddress()));

  /** The claims of a JWT, or none for another token. They are only shown; the gateway verifies the token. */
  function claimsOf(jwt) {
    try {
      const payload = atob(jwt.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (character) => character.charCodeAt(0)))) ?? {};
    } catch {
      return {};
    }
  }

  /** What a token says about itself, as text. An API key contains its organization. Nothing of it is verified. */
  function ownerOf(given) {
    const claims = claimsOf(given);
    const [, ofKey] = /^cgk_(.+)\.[0-9a-f]{24}\.[A-Za-z0-9_-]{43}$/.exec(given) ?? [];
    const organization = ofKey ?? claims[settings.organizationClaim] ?? claims.organization;
    return { organization: plain(organization) || 'unknown', subject: plain(claims.sub) || (ofKey ? 'an API key' : 'unknown') };
  }

  /** A claim without what could make a text look like another one: control characters, and those that change its direction. */
  function plain(claim) {
    return ['string', 'number'].includes(typeof claim) ? String(claim).replace(/[\p{C}\p{Z}]+/gu, ' ').trim().slice(0, 80) : '';
  }

  // --- Operations ---

  /** Returns the kinds and names of the operations of a document: the words before the selections, without comments and texts. */
  function operationsIn(query) {
    const text = query.replace(/"""[^]*?"""|"(?:\\.|[^"\\])*"|#[^\n]*/g, ' ');
    let depth = 0;
    let outside = '';
    for (const character of text) {
      if ('})]'.includes(character)) depth -= 1;
      if (depth === 0) outside += character;
      if ('{(['.includes(character)) depth += 1;
    }
    return [...outside.matchAll(/(query|mutation|subscription)\b\s*(\w*)/g)].map(([, kind, name]) => ({ kind, name }));
  }

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
    // For a moment after a change of tabs, GraphiQL still passes the name of the operation, and the parsed document, of the previous tab.
    const operations = operationsIn(query);
    const named = operations.find(({ name }) => operationName && name === operationName);
    const { kind } = named ?? operations[0] ?? {};
    if (kind === 'subscription') return listen({ query, operationName: named?.name, variables }, sent);
    try {
      const result = await ask({
        query,
        operationName: named?.name,
        variables: await withIds(variables, ask),
      });
      noteRefusal(result, sent);
      return result;
    } catch (error) {
      return failure(error instanceof TypeError ? 'The gateway does not respond. Is it running?' : error.message);
    }
  }

  /**
   * Gives GraphiQL the results of a subscription, until it ends: GraphQL over SSE. GraphiQL stops it by the return of the iterator. Of a generator, that
   * would wait for the next result.
   */
  function listen(body, headers) {
    const stop = new AbortController();
    const results = resultsOf(body, headers, stop.signal);
    const stopped = new Promise((resolve) => stop.signal.addEventListener('abort', () => resolve({ done: true, value: undefined })));
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => Promise.race([results.next(), stopped]),
      return() {
        stop.abort();
        return stopped;
      },
    };
  }

  async function* resultsOf(body, headers, signal) {
    try {
      headers.set('accept', 'text/event-stream');
      const options = { method: 'POST', headers, body: JSON.stringify(body), signal };
      const response = await fetch(endpoint, { ...options, credentials: 'omit', cache: 'no-store', redirect: 'error' });
      if (!/^text\/event-stream/.test(response.headers.get('content-type'))) {
        const result = await response.json().catch(() => failure('The gateway responded with status ' + response.status + '.'));
        noteRefusal(result, headers);
        yield result;
        return;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const messages = (text + read.value).split('\n\n');
        text = messages.pop();
        for (const message of messages) {
          const data = /^data: (.+)$/m.exec(message)?.[1];
          if (!data) continue;
          const result = JSON.parse(data);
          noteRefusal(result, headers);
          yield result;
        }
      }
    } catch {
      if (!signal.aborted) yield failure('The connection was lost. Run the subscription again.');
    }
  }

  /** Shows in the bar that the gateway rejected the token, or that it has accepted it again. */
  function noteRefusal(result, headers) {
    const refused = result.errors?.find((error) => error.extensions?.code === 'UNAUTHENTICATED');
    if (headers.get('authorization') !== 'Bearer ' + token || refusal === (refused?.message ?? '')) return;
    refusal = refused?.message ?? '';
    showBar();
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
    const owner = ownerOf(token);
    const parts = [];
    if (owner.organization !== 'unknown') parts.push('organization ', element('b', {}, owner.organization), ' · ');
    if (owner.subject !== 'unknown') parts.push(element('bdi', {}, owner.subject), ' · ');
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

  // --- The question whether to use the token of a link ---

  /** Opens the question above everything else. Escape and the first button, which has the focus, keep the token that is in use. */
  function ask() {
    const dialog = document.getElementById('offer');
    if (!dialog) return;
    const inUse = ownerOf(token);
    const ofLink = ownerOf(offered);
    const row = (label, { organization, subject }) => element('tr', {}, element('th', { scope: 'row' }, label),
      element('td', {}, element('bdi', {}, organization)), element('td', {}, element('bdi', {}, subject)));
    dialog.replaceChildren(
      element('h2', { id: 'offer-title' }, 'Switch to the access of this link?'),
      element('p', { id: 'offer-text' }, 'The link that you opened contains another token than the one that this page uses. With that token, you read and store everything in its organization. Accept it only if you know where the link comes from.'),
      element('table', {}, element('tr', {}, element('td'), element('th', { scope: 'col' }, 'Organization'), element('th', { scope: 'col' }, 'Subject')),
        row('In use', inUse), row('In the link', ofLink)),
      element('div', { className: 'choices' },
        element('button', { className: 'keep', type: 'button', autofocus: true }, 'Keep the token in use'),
        element('button', { className: 'replace', type: 'button' }, 'Use the token of the link')),
    );
    dialog.querySelector('.keep').addEventListener('click', () => dialog.close());
    dialog.querySelector('.replace').addEventListener('click', () => {
      // Taken now, because closing forgets it.
      const accepted = offered;
      dialog.close();
      use(accepted);
    });
    if (!dialog.open) dialog.showModal();
    dialog.querySelector('.keep').focus();
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

  /** Read before anything else runs, but offered when there is a page that can ask. */
  const ofAddress = fromAddress();
  if (!token && ofAddress) token = keep(ofAddress);

  document.addEventListener('DOMContentLoaded', () => {
    document.getElementById('offer').addEventListener('close', () => (offered = null));
    showBar();
    offer(ofAddress);
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
