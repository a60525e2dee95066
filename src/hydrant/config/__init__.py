"""Pipelines from YAML and back: what is written in a file becomes stages, by the names that `hydrant` exports."""
