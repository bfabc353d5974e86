"""Embedded data: small real sets with their licences and digests, and the makers that produce them again."""
