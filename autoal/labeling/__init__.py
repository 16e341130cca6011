"""Label here: Label Studio with a session behind it."""
