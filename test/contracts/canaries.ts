import { Buffer } from 'node:buffer';

// A canary is a word that is made to be looked for. All of one sort begin and end with the same letters, so one search finds any of them,
// whole or cut at either end, as text or encoded, without knowing which were planted.

/** Begins and ends each word that must never be seen again. Letters only, so that it can stand wherever a name can. */
const HIDDEN = 'qHunter2z';
/** The same for words that may be shown and kept once the gateway has taken them. */
const SHOWN = 'qShownOk7';
/** The same for numbers, at the beginning alone: fifteen digits, which a double holds exactly. */
const NUMBER = '80864213';

/** Makes words and numbers to look for, each another, and remembers where each was put. */
export class Canaries {
  readonly #places = new Map<string, string>();
  /** Longer texts to look for as they are: what a private key becomes cannot be chosen. */
  readonly #texts: { readonly forms: readonly string[]; readonly place: string }[] = [];

  /** How many there are. */
  get count(): number {
    return this.#places.size;
  }
  hidden(place: string): string {
    return HIDDEN + this.#next(place) + HIDDEN;
  }
  shown(place: string): string {
    return SHOWN + this.#next(place) + SHOWN;
  }
  number(place: string): number {
    return Number(NUMBER + String(Number.parseInt(this.#next(place), 16)).padStart(7, '0'));
  }
  /** Remembers texts that stand for a secret that was made elsewhere. */
  texts(texts: readonly string[], place: string): void {
    for (const text of texts) if (!text.includes(HIDDEN)) this.#texts.push({ forms: formsOf(text), place });
  }

  /** Where what a text shows was planted, if it shows what must never be seen; undefined when it shows none. */
  hiddenIn(text: string): string | undefined {
    const [found] = hiddenForms.exec(text) ?? [];
    if (found) return this.#places.get(text.slice(text.indexOf(found) + found.length).slice(0, 6)) ?? `an encoding or a part (${found})`;
    return this.#texts.find(({ forms }) => forms.some((form) => text.includes(form)))?.place;
  }
  /** The words in a text that may be shown once they are taken. */
  shownIn(text: string): string[] {
    return [...text.matchAll(shownWord)].map(([word]) => word);
  }
  placeOf(word: string): string {
    return this.#places.get(word.slice(SHOWN.length, -SHOWN.length)) ?? 'nowhere';
  }

  #next(place: string): string {
    const id = this.#places.size.toString(16).padStart(6, '0');
    this.#places.set(id, place);
    return id;
  }
}

/** A text, and what encodings make of it, wherever in a longer one it stands. */
function formsOf(text: string): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${'x'.repeat(shift)}${text}`)
      .toString('base64')
      .replace(/=+$/, '');
    return encoded.slice(shift === 0 ? 0 : 4, -2);
  });
  const base64url = base64.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'));
  const escaped = [...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
  const percent = [...Buffer.from(text)].map((byte) => `%${byte.toString(16)}`).join('');
  const json = JSON.stringify(text).slice(1, -1);
  const hex = Buffer.from(text).toString('hex');
  // As `latin1` shows UTF-16.
  const wide = Buffer.from(text, 'utf16le').toString('latin1');
  return [...new Set([text, json, encodeURIComponent(text), ...base64, ...base64url, escaped, percent, hex, wide])];
}

const literally = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
// Digits stand in ids at random, too, but hardly ever at the beginning of one.
const numberForm = `(?<![0-9a-f-])${NUMBER}`;
const textForms = [...formsOf(HIDDEN), HIDDEN.toLowerCase(), HIDDEN.toUpperCase()].map(literally);
const hiddenForms = new RegExp([...textForms, numberForm].join('|'));
const shownWord = new RegExp(`${SHOWN}[0-9a-f]{6}${SHOWN}|${SHOWN}`, 'g');
