"""WSDDN and OICR: detectors that learn from the labels of whole pictures."""
