"""Training of the embedded models: from a folder of captioned pictures to files under assets/."""
