"""What goes on from a finished run: its tables and figures as numbers, for HEPData and for ROOT."""
