// Asks once more before a unit or a place in standby is given back.
import {
  Description,
  Dialog,
  DialogBackdrop,
  DialogPanel,
  DialogTitle,
} from "@headlessui/react";
import { useState } from "react";
import { useAppDispatch } from "../../app/hooks";
import { problemText, useText } from "../../i18n";
import { Button } from "../../ui/button";
import { ProblemBox } from "../../ui/form";
import { giveUp } from "./claim-actions";

interface GiveUpDialogProps {
  sale: string;
  standby: boolean;
  onClose: () => void;
}

export function GiveUpDialog({ sale, standby, onClose }: GiveUpDialogProps) {
  const t = useText();
  const dispatch = useAppDispatch();
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const g = t.give_up;

  async function onConfirm() {
    setSending(true);
    const code = await dispatch(giveUp(sale));
    setSending(false);
    setProblem(code);
    if (code === null) onClose();
  }

  return (
    <Dialog open onClose={onClose} className="fixed inset-0 z-30">
      <DialogBackdrop className="fixed inset-0 bg-black/55" />
      <div className="fixed inset-0 grid items-end overflow-y-auto sm:place-items-center sm:p-4">
        <DialogPanel className="grid w-full animate-rise gap-4 rounded-t-xl bg-sheet p-6 pb-8 text-ink sm:max-w-md sm:rounded-xl">
          <DialogTitle className="font-black text-2xl tracking-tight">
            {standby ? g.title_standby : g.title_reserved}
          </DialogTitle>
          <Description>{standby ? g.text_standby : g.text_reserved}</Description>
          <ProblemBox text={problem === null ? null : problemText(t, problem)} />
          <div className="grid gap-3 sm:grid-cols-2">
            <Button autoFocus onClick={onClose}>
              {g.keep}
            </Button>
            <Button look="quiet" held={sending} onClick={onConfirm}>
              {standby ? g.confirm_standby : g.confirm_reserved}
            </Button>
          </div>
        </DialogPanel>
      </div>
    </Dialog>
  );
}
