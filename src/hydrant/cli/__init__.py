"""The command line: `hydrant index`, `search`, `info` and `demo`. One file a command."""
