// The way to give a unit or a place in standby back.
import { useState } from "react";
import { useText } from "../../i18n";
import { Button } from "../../ui/button";
import { GiveUpDialog } from "./give-up-dialog";

export function GiveUp({ sale, standby }: { sale: string; standby: boolean }) {
  const t = useText();
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Button look="stage-quiet" onClick={() => setAsking(true)}>
        {standby ? t.give_up.standby : t.give_up.reserved}
      </Button>
      {asking && (
        <GiveUpDialog sale={sale} standby={standby} onClose={() => setAsking(false)} />
      )}
    </>
  );
}
