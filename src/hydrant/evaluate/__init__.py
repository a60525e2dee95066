"""Judged questions to evidence: tasks, metrics, experiments, reports, tuning."""
