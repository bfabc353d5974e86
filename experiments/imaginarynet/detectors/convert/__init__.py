"""Released checkpoints as folders of ours: what each form calls its tensors, and where they go."""
