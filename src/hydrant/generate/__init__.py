"""Text from language models: what a generator is, and those for servers, for models on this machine, and for functions."""
