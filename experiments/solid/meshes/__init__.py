"""Raw meshes: where they come from (fetch), what is wrong with them (index), and the text formats they stand in."""
