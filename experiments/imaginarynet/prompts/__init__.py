"""Prompts: a language model continues `A photo of <class>`, or the bare template is repeated.

`make.py` turns numbers into prompts, each a function of the run's seed, the class, its number and the prompts
before it alone; `language_model.py` continues texts, in batches; `gguf_model.py` reads the packaged model.
"""
