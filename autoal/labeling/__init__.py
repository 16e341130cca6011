"""Label here: Label Studio with a session behind it. From Python: `autoal.labeling.setting_up.serve_session`."""
