"""OpenFlow: our values on the wire, and the session with one switch."""
