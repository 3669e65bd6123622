import { type DocumentNode, type GraphQLSchema, isEnumType, isInputObjectType, isInterfaceType, isObjectType, parse, visit } from 'graphql';

// A defect's message says what went wrong, and may repeat what a caller sent or what is stored: whole, cut, escaped or encoded. To look for all
// that would never end. So it is the other way round: a word of a message passes if it stands in a fixed list of ours and was not sent in this
// request, and all else is masked. What is left over: a stored value that is one of our words looks like our word.

/** What came with a request. */
export interface Sent {
  readonly query?: string | null;
  /** Texts, in whatever they stand. */
  readonly values: readonly unknown[];
}

/** What is told of a message. */
export type TellMessage = (message: string) => string;

const MASK = '[…]';
/** Longer messages repeat something. */
const MESSAGE_MAX = 1_000;

/** The words of messages of V8, Node, mongoose, the driver and ourselves. Words only: a number or a name may be somebody's. */
const messageWords = `
a after already an and another any are argument arguments array as assertion assign assignment at authentication await be because been
before beyond BigInt bigint buffer but by byte bytes call callback called cannot cast cause changed character checking class closed code
collection command commit concurrently connect connected connection constant constructor convert copies could credential cursor data
database date deadline deadlock deep defined definition descriptor destroyed did different directory disconnected do document documents
does duplicate empty encode ended enough entry error every exactly exceeded executing exists expect expected expired exports extensible
failed failure field file find first for format found from function gateway generator get given got has have held hex host idle immutable
in index initialization initialize input inserted instance instanceof integer interrupted into invalid is it iterable iterator its JSON
json key keys kind large last length less limit limited listed locked long longer longest loop made many master match matching maximum may
memory message method milliseconds minimum missing model module more most much must name needs negative network new no node non none not
null nullable number object of on once only open operation operator option or organization other out own parameter parse parsed path
pending pool position possible precision primary private promise properties property purpose put query range read reading received record
redefine refused regular remove replaced replica required reserve resolve response retry retryable returned run same schema scope seal
sealed secret select selection server session set setting shorter shut signal size small socket sort source stack started state stopped
stored stream string structure such supported symbol syntax target than that the there this thread time timed timeout times to together
token too transaction trap twice type undefined unexpected unhandled unique uniquely unknown unordered unsupported unwrap update URI URL
url used valid validation validator value values variable version waiting was were what when where which while with within without wrapped
write writing yet zero
`;

/** A part of a message: a word, or what stands in quotes, to the end when they do not close. */
const part = /(?<![\p{L}\p{N}])(["'`])[\s\S]*?(?:\1|$)|[\p{L}\p{M}\p{N}_$]+/gu;
const anyWord = /[\p{L}\p{M}\p{N}_$]+/gu;

/** What may stand before the first word, between two, and after the last. Anything else, as in `a=b` or `a-b`, is no sentence of ours. */
const fromStart = /^\(?$/;
const between = /^[.,:;)]{0,2} \(?$/;
const toEnd = /^[).:]{0,2}$/;

/** Makes, for each request, what tells of a defect's message all that may be logged. */
export function defectMessages(schema: GraphQLSchema): (sent: Sent) => TellMessage {
  const names = namesIn(schema);
  const listed = messageWords.trim().split(/\s+/);
  const words = new Set([...names, ...listed, ...listed.map((word) => word[0]!.toUpperCase() + word.slice(1))]);
  return (sent) => {
    const theirs = wordsOf(sent, names);
    return (message) => maskedMessage(message, (word) => words.has(word) && !theirs.has(word.toLowerCase()));
  };
}

/** The message with a mask in the place of all that is not a sentence of words that may be told. */
function maskedMessage(message: string, mayTell: (word: string) => boolean): string {
  const isCut = message.length > MESSAGE_MAX;
  const text = message.slice(0, MESSAGE_MAX);
  const parts = [...text.matchAll(part)].map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }));
  let told = '';
  let isMasked = false;
  let end = 0;
  for (const [index, each] of parts.entries()) {
    const next = parts[index + 1];
    const before = text.slice(end, each.start);
    // In quotes are names, which are one word; what is cut may be the beginning of another word.
    const word = /^(["'`]|)([\p{L}\p{N}_$]+)\1$/u.exec(each.text)?.[2];
    const isSentence =
      (index === 0 ? fromStart : between).test(before) &&
      (next ? between.test(text.slice(each.end, next.start)) : !isCut && toEnd.test(text.slice(each.end)));
    end = each.end;
    if (word !== undefined && isSentence && mayTell(word)) {
      told += isMasked ? `${before.slice(before.indexOf(' '))}${each.text}` : `${before}${each.text}`;
      isMasked = false;
    } else if (!isMasked) {
      told += told === '' ? MASK : ` ${MASK}`;
      isMasked = true;
    }
  }
  return isMasked || parts.length === 0 ? told || MASK : told + (isCut ? MASK : text.slice(end));
}

/** All words that a schema gives names to. */
function namesIn(schema: GraphQLSchema): Set<string> {
  const names = new Set<string>();
  for (const [typeName, type] of Object.entries(schema.getTypeMap())) {
    names.add(typeName);
    if (isEnumType(type)) for (const { name } of type.getValues()) names.add(name);
    if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) continue;
    for (const field of Object.values(type.getFields())) {
      names.add(field.name);
      if ('args' in field) for (const { name } of field.args) names.add(name);
    }
  }
  return names;
}

/** The words that came with a request, in lower case; but not the schema's names where they name something. */
function wordsOf({ query, values }: Sent, names: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  const add = (text: string) => {
    for (const [word] of text.matchAll(anyWord)) found.add(word.toLowerCase());
  };
  const addName = (name: string) => {
    if (!names.has(name)) add(name);
  };
  // Not by recursion: what is sent may be nested deeper than the stack is.
  const pending: unknown[] = [...values];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value === 'string') add(value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, item] of Object.entries(value)) {
      addName(name);
      pending.push(item);
    }
  }
  const document = query ? parsed(query) : undefined;
  if (!document) add(query ?? '');
  else {
    visit(document, {
      Name: ({ value }) => addName(value),
      EnumValue: ({ value }) => addName(value),
      StringValue: ({ value }) => add(value),
    });
  }
  return found;
}

function parsed(query: string): DocumentNode | undefined {
  try {
    return parse(query, { noLocation: true });
  } catch {
    return undefined;
  }
}
