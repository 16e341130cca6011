"""Label here: a page on this machine for a session, from the command line or in a notebook."""

from autoal.labeling.notebook import Page, show

__all__ = ["Page", "show"]
