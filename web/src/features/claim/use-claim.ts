// For pages that show a claim: makes sure that it is learned, also where the
// socket cannot connect.
import { useEffect } from "react";
import { useAppDispatch, useAppSelector } from "../../app/hooks";
import { selectToken } from "../session/session-slice";
import { claimWanted } from "./claim-slice";

export function useClaim(sale: string): void {
  const dispatch = useAppDispatch();
  const token = useAppSelector(selectToken);
  useEffect(() => {
    if (token !== null) dispatch(claimWanted(sale));
  }, [sale, token, dispatch]);
}
