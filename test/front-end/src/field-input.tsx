import { type ComponentProps, type ReactNode, useId, useState } from 'react';
import { labelOf } from './labels.ts';
import type { Field, Format } from './operations.ts';

interface Props {
  field: Field;
  /** The format of the text, which can depend on the value of another field. */
  format: Format | null | undefined;
  error: string | undefined;
  onChoose?: (value: string) => void;
}

/** An input for one field of a credential kind, with its label, its description and its error. */
export function FieldInput({ field, format, error, onChoose }: Props) {
  const id = useId();
  const [choice, setChoice] = useState('');
  function choose(value: string) {
    setChoice(value);
    onChoose?.(value);
  }
  const hint = [field.description, field.values?.find(({ name }) => name === choice)?.description].filter(Boolean).join(' ');
  return (
    <Labelled id={id} label={labelOf(field.name)} hint={hint} isRequired={field.isRequired} error={error}>
      {control(field, format, choose, {
        id,
        name: field.name,
        required: field.isRequired && field.minLength !== 0,
        'aria-invalid': error ? true : undefined,
        'aria-describedby': `${id}-error ${id}-hint`,
      })}
    </Labelled>
  );
}

interface LabelledProps {
  id: string;
  label: string;
  hint?: string | null;
  isRequired: boolean;
  error: string | undefined;
  children: ReactNode;
}

export function Labelled({ id, label, hint, isRequired, error, children }: LabelledProps) {
  return (
    <div className="field">
      <label htmlFor={id}>
        {label}
        {!isRequired && <span className="optional"> (optional)</span>}
      </label>
      {children}
      <p id={`${id}-error`} className="error">
        {error}
      </p>
      <p id={`${id}-hint`} className="hint">
        {hint}
      </p>
    </div>
  );
}

/** The formats of texts that can have several lines. */
const multiline: readonly Format[] = ['ANY', 'JSON', 'MULTILINE', 'PEM_CERTIFICATES', 'PEM_PRIVATE_KEY', 'PEM_KEY', 'SSH_PRIVATE_KEY'];
/** Nothing may remember a secret: no browser, no password manager, no spell checker that asks a server. */
const unremembered = { autoComplete: 'new-password', autoCapitalize: 'none', autoCorrect: 'off', spellCheck: false };

type Common = Pick<ComponentProps<'input'>, 'id' | 'name' | 'required' | 'aria-invalid' | 'aria-describedby'>;

function control(field: Field, format: Format | null | undefined, choose: (value: string) => void, common: Common) {
  const placeholder = field.isSecret ? undefined : (field.example ?? undefined);
  if (field.values) {
    return (
      <select {...common} defaultValue="" onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">Choose…</option>
        {field.values.map(({ name }) => (
          <option key={name} value={name}>
            {name.replaceAll('_', ' ')}
          </option>
        ))}
      </select>
    );
  }
  switch (field.type) {
    case 'BOOLEAN':
      return (
        <select {...common} defaultValue="">
          <option value="">{field.isRequired ? 'Choose…' : 'Default'}</option>
          <option value="true">Yes</option>
          <option value="false">No</option>
        </select>
      );
    case 'INT':
      return <input {...common} type="number" min={field.min ?? undefined} max={field.max ?? undefined} placeholder={placeholder} />;
    case 'DATE_TIME':
      return <input {...common} type="datetime-local" />;
    case 'STRING_LIST':
      return <textarea {...common} rows={3} spellCheck={false} placeholder="One on each line" />;
    default:
      if (!format || !multiline.includes(format)) {
        return field.isSecret ? <input {...common} {...unremembered} type="password" /> : <input {...common} placeholder={placeholder} />;
      }
      return <textarea {...common} {...unremembered} rows={4} className={field.isSecret ? 'secret' : undefined} />;
  }
}

/** What was entered for a field, as the gateway takes it. Undefined if nothing was. */
export function enteredIn(values: FormData, field: Field): unknown {
  const text = String(values.get(field.name) ?? '');
  if (text === '' && !(field.isRequired && field.type === 'STRING')) return undefined;
  switch (field.type) {
    case 'BOOLEAN':
      return text === 'true';
    case 'INT':
      return Number(text);
    case 'DATE_TIME': {
      const time = new Date(text);
      // The gateway says what is wrong with it.
      return Number.isNaN(time.getTime()) ? text : time.toISOString();
    }
    case 'STRING_LIST':
      return text
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean);
    default:
      return text;
  }
}
