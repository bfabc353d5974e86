"""The five systems, one folder each. An experiment imports `suite`, never another experiment."""
