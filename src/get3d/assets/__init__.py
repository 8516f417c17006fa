"""From models of many formats to pictures of them: `get3d render`."""
