"""ImaginaryNet: from class names to a filtered, labelled set of imaginary pictures."""
