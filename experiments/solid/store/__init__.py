"""The SOLID store: one sharded Zarr v3 store of targets and queries, with its writer, reader and check."""
