// A labelled text field whose hint and error are tied to it, and the box that
// says why a whole form was refused. Rules of what is valid are the form's own.
import { Description, Field, Input, Label } from "@headlessui/react";
import { type ComponentProps, type ReactNode, useEffect, useId, useRef } from "react";

interface TextFieldProps
  extends Omit<ComponentProps<"input">, "className" | "disabled" | "autoFocus" | "ref"> {
  label: string;
  name: string;
  hint?: ReactNode;
  /** Null while the value is fine. */
  error: string | null;
  /** Something to press at the field's end. */
  action?: ReactNode;
}

export function TextField({ label, hint, error, action, ...input }: TextFieldProps) {
  const error_id = useId();
  return (
    <Field className="grid gap-1.5">
      <Label className="font-bold">{label}</Label>
      <div className="relative">
        <Input
          {...input}
          invalid={error !== null}
          {...(error === null ? {} : { "aria-errormessage": error_id })}
          className={`min-h-12 w-full scroll-mt-44 rounded-md border bg-sheet px-3.5 text-base placeholder:text-soft ${
            error === null ? "border-edge" : "border-2 border-bad"
          }`}
        />
        {action}
      </div>
      {hint !== undefined && (
        <Description className="text-soft text-sm">{hint}</Description>
      )}
      {error !== null && (
        <Description id={error_id} className="font-bold text-bad text-sm">
          {error}
        </Description>
      )}
    </Field>
  );
}

/** Says a problem at once to a screen reader; takes no room without one. */
export function ProblemBox({
  text,
  action,
}: {
  text: string | null;
  action?: ReactNode;
}) {
  return (
    <div role="alert">
      {text !== null && (
        <div className="grid animate-rise gap-2 border-bad border-l-4 bg-sheet px-4 py-3">
          <p className="font-bold text-bad">{text}</p>
          {action}
        </div>
      )}
    </div>
  );
}

/**
 * Moves to the first field with an error after a refused submission: each time
 * that `refusals` has grown.
 */
export function useFocusFirstError(refusals: number) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (refusals > 0)
      form.current?.querySelector<HTMLElement>("[aria-invalid='true']")?.focus();
  }, [refusals]);
  return form;
}
