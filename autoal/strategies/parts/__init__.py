"""Mathematics that several strategies share; no strategy lives here."""
