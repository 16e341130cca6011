"""Label here: a page on this machine for a session, from the command line or in a notebook; or Label Studio with a
session behind it, from Python by `autoal.labeling.setting_up.serve_session`."""

from autoal.labeling.notebook import Page, show

__all__ = ["Page", "show"]
