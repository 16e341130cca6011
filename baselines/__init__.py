"""What AutoAL is compared with. Imports autoal; nothing in autoal imports it."""
