"""What is pasted and onto what: pictures of single objects, their masks, background photographs."""
