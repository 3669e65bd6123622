import { type ReactNode, useRef, useState } from 'react';

interface Props {
  label: string;
  /** What the button is for, if its label alone does not say: a page has many called “Replace”. */
  of?: string;
  children: (close: () => void) => ReactNode;
}

/** A button that opens a form below itself, and takes the focus back when the form is closed. */
export function Opener({ label, of, children }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  const [isOpen, setOpen] = useState(false);
  function close() {
    setOpen(false);
    button.current?.focus();
  }
  return (
    <>
      <button
        ref={button}
        type="button"
        className="quiet"
        aria-expanded={isOpen}
        aria-label={of && `${label} ${of}`}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
      </button>
      {isOpen && children(close)}
    </>
  );
}
