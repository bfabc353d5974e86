"""Raw meshes: where they come from (fetch), what is wrong with them (index), the text they stand in."""
