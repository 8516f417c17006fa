"""From models of many formats to images of them: `get3d render`."""
