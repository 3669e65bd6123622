import {
  type DocumentNode,
  type FragmentDefinitionNode,
  Kind,
  Lexer,
  type OperationDefinitionNode,
  type SelectionSetNode,
  Source,
  TokenKind,
  visit,
} from 'graphql';
import { LimitExceededError } from '../../errors.ts';
import type { Limits } from '../../limits.ts';

/**
 * The maximum length of a document. Its parser takes up to a microsecond for each character (of a block string), and other requests wait. Long
 * values belong in variables.
 */
const LENGTH_MAX = 128 * 1024;
/** The maximum nesting of brackets: far more than any operation within MAX_DEPTH needs, and far less than overflows the parser's stack. */
const NESTING_MAX = 64;
/** The maximum number of selected fields after fragments are expanded. Bounds the work of validation and execution. */
const SELECTIONS_MAX = 10_000;
/** How often one field may be selected in the same place. Validation compares every pair of them. */
const DUPLICATES_MAX = 100;

const opening: readonly string[] = [TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L];
const closing: readonly string[] = [TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R];

/**
 * Counts tokens and brackets before the document is parsed: the parser is recursive, so deep nesting would overflow its stack. Text that is
 * not GraphQL is left to the parser, which rejects it.
 *
 * @throws LimitExceededError
 */
export function checkTokens(source: string, { maxTokens }: Limits): void {
  if (source.length > LENGTH_MAX) throw new LimitExceededError('The document is too long', 'LENGTH', LENGTH_MAX);
  // The lexer does not return comments as tokens, but keeps them in memory.
  if (commentLines(source) > maxTokens) throw new LimitExceededError('The document has too many comments', 'MAX_TOKENS', maxTokens);
  const lexer = new Lexer(new Source(source));
  let nesting = 0;
  for (let tokens = 0; ; tokens++) {
    let kind: string;
    try {
      ({ kind } = lexer.advance());
    } catch {
      return;
    }
    if (kind === TokenKind.EOF) return;
    if (tokens === maxTokens) throw new LimitExceededError('The document has too many tokens', 'MAX_TOKENS', maxTokens);
    if (opening.includes(kind) && ++nesting > NESTING_MAX) {
      throw new LimitExceededError('The document nests brackets too deeply', 'NESTING', NESTING_MAX);
    }
    if (closing.includes(kind)) nesting--;
  }
}

/** Returns the number of lines that contain only a comment. There cannot be more other comments than tokens. */
function commentLines(source: string): number {
  let count = 0;
  let isBlank = true;
  for (let index = 0; index < source.length; index++) {
    const character = source[index]!;
    if (character === '\n' || character === '\r') isBlank = true;
    else if (isBlank && character === '#') count++;
    if (!' \t\n\r,\uFEFF'.includes(character)) isBlank = false;
  }
  return count;
}

/**
 * Checks the limits of a document. Call it before validation, whose rules are slow on documents that are designed to be slow.
 * @throws LimitExceededError
 */
export function checkDocument(document: DocumentNode, limits: Limits): void {
  checkCounts(document, limits);
  checkSelections(document, limits);
}

/** Checks the counts that do not depend on fragments. */
function checkCounts(document: DocumentNode, { maxAliases, maxDirectives, maxListItems }: Limits): void {
  let aliases = 0;
  let directives = 0;
  visit(document, {
    Field({ alias }) {
      if (alias && ++aliases > maxAliases) throw new LimitExceededError('The document has too many aliases', 'MAX_ALIASES', maxAliases);
    },
    Directive() {
      if (++directives > maxDirectives) {
        throw new LimitExceededError('The document has too many directives', 'MAX_DIRECTIVES', maxDirectives);
      }
    },
    ListValue({ values }) {
      if (values.length > maxListItems) {
        throw new LimitExceededError('A list in the document has too many items', 'MAX_LIST_ITEMS', maxListItems);
      }
    },
  });
}

/**
 * Checks the counts after fragments are expanded and equal fields merged, as in validation and execution. Safe for documents that are not
 * yet validated: a fragment that spreads itself stops at the depth limit, and no document takes more than SELECTIONS_MAX steps.
 */
function checkSelections(document: DocumentNode, { maxDepth, maxRootFields }: Limits): void {
  const fragments = new Map<string, FragmentDefinitionNode>();
  const operations: OperationDefinitionNode[] = [];
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
    if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition);
  }
  let steps = 0;
  const step = () => {
    if (++steps > SELECTIONS_MAX) {
      throw new LimitExceededError('The document selects too many fields, including those of fragments', 'SELECTIONS', SELECTIONS_MAX);
    }
  };

  function walk(selectionSets: readonly SelectionSetNode[], depth: number): void {
    const groups = new Map<string, { count: number; readonly selectionSets: SelectionSetNode[] }>();
    const spread = new Set<string>();
    const collect = ({ selections }: SelectionSetNode): void => {
      for (const selection of selections) {
        step();
        if (selection.kind === Kind.FIELD) {
          const name = (selection.alias ?? selection.name).value;
          const group = groups.get(name) ?? { count: 0, selectionSets: [] };
          groups.set(name, group);
          if (++group.count > DUPLICATES_MAX) {
            throw new LimitExceededError('The document selects one field too often in the same place', 'DUPLICATES', DUPLICATES_MAX);
          }
          if (selection.selectionSet) group.selectionSets.push(selection.selectionSet);
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          collect(selection.selectionSet);
        } else if (!spread.has(selection.name.value)) {
          spread.add(selection.name.value);
          const fragment = fragments.get(selection.name.value);
          if (fragment) collect(fragment.selectionSet);
        }
      }
    };
    for (const selectionSet of selectionSets) collect(selectionSet);
    if (groups.size > 0 && depth > maxDepth) throw new LimitExceededError('The document nests fields too deeply', 'MAX_DEPTH', maxDepth);
    if (depth === 1 && groups.size > maxRootFields) {
      throw new LimitExceededError('The operation has too many root fields', 'MAX_ROOT_FIELDS', maxRootFields);
    }
    for (const group of groups.values()) if (group.selectionSets.length > 0) walk(group.selectionSets, depth + 1);
  }
  for (const { selectionSet } of operations) walk([selectionSet], 1);
}

/** Returns whether a value contains a list with too many items. Not recursive, because only the size of the body limits the nesting. */
export function hasLongList(value: unknown, maxListItems: number): boolean {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const members = Array.isArray(next) ? next : Object.values(next);
    if (Array.isArray(next) && members.length > maxListItems) return true;
    for (const member of members) open.push(member);
  }
  return false;
}
