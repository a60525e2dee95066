"""From files to passages, and from passages into a collection."""
