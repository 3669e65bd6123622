import type { BrowserContext, Page } from 'playwright-core';

/** What a window has sent, received and said since it was opened. */
export interface Traffic {
  readonly addresses: string[];
  /** The bodies of the answers, as the page got them. */
  readonly answers: Promise<string>[];
  readonly console: string[];
}

/** Collects the traffic of all windows of a context from now on. */
export function watch(context: BrowserContext): Traffic {
  const traffic: Traffic = { addresses: [], answers: [], console: [] };
  context.on('request', (request) => void traffic.addresses.push(request.url()));
  context.on('response', (response) => void traffic.answers.push(response.text().catch(() => '')));
  context.on('console', (message) => void traffic.console.push(message.text()));
  return traffic;
}

/**
 * The places where a page, its browser or its traffic contains one of these texts, and the text. A page whose places are known to contain a text
 * shows whether this finds it.
 */
export async function placesOf(texts: readonly string[], page: Page, traffic: Traffic): Promise<Record<string, string[]>> {
  const contents: Record<string, string> = {
    ...(await page.evaluate(contentsOfPage)),
    cookies: JSON.stringify(await page.context().cookies()),
    addresses: [page.url(), ...traffic.addresses].join('\n'),
    answers: (await Promise.all(traffic.answers)).join('\n'),
    console: traffic.console.join('\n'),
    memory: await memoryOf(page),
  };
  const found: Record<string, string[]> = {};
  for (const text of texts) {
    for (const [place, content] of Object.entries(contents)) {
      if (spellingsOf(text).some((spelling) => content.includes(spelling))) found[place] = [...(found[place] ?? []), text];
    }
  }
  return found;
}

/** A text as it is, and as JSON, HTML and URLs write it. Of several lines, the longest tells. */
function spellingsOf(text: string): string[] {
  const line = text.split('\n').sort((a, b) => b.length - a.length)[0]!;
  return [...new Set([line, JSON.stringify(line).slice(1, -1), encodeURIComponent(line), line.replaceAll('"', '&quot;')])];
}

/** Everything that a page shows or stores. It runs in the page. */
async function contentsOfPage(): Promise<Record<string, string>> {
  const inputs = [...document.querySelectorAll<HTMLInputElement>('input, textarea, select')];
  const databases = await indexedDB.databases();
  const stored = databases.map(
    ({ name }) =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open(name!);
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const database = opening.result;
          const stores = [...database.objectStoreNames];
          const transaction = stores.length > 0 && database.transaction(stores);
          const reading = stores.map(
            (store) =>
              new Promise((done) => {
                const request = (transaction as IDBTransaction).objectStore(store).getAll();
                request.onsuccess = () => done(request.result);
              }),
          );
          resolve(Promise.all(reading).finally(() => database.close()));
        };
      }),
  );
  const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  const cached = await Promise.all(caches_.map(async (cache) => Promise.all((await cache.matchAll()).map((response) => response.text()))));
  return {
    page: document.documentElement.outerHTML,
    inputs: inputs.map((input) => input.value).join('\n'),
    localStorage: JSON.stringify(localStorage),
    sessionStorage: JSON.stringify(sessionStorage),
    indexedDB: JSON.stringify(await Promise.all(stored)),
    cacheStorage: JSON.stringify(cached),
    history: JSON.stringify(history.state),
  };
}

/** The strings that the scripts of the page still hold, after the garbage was collected. */
async function memoryOf(page: Page): Promise<string> {
  const session = await page.context().newCDPSession(page);
  const chunks: string[] = [];
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => void chunks.push(chunk));
  await session.send('HeapProfiler.collectGarbage');
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
  await session.detach();
  return JSON.parse(chunks.join('')).strings.join('\n');
}
