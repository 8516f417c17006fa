"""The networks: mapping, planes, volumes, fields, discriminators. No geometry in here."""
